/** Drives `dockerMachine` with its sources against a real Engine, as a connection would. */
import { type Duration, Schema } from "effect";
import { dockerMachine } from "../../machines/docker.ts";
import { type DockerEngines, dockerBackend, openDocker } from "../../src/backend/docker/backend.ts";
import { defaults, settingsOf } from "../../src/config/schema.ts";
import { Docker } from "../../src/config/sections/docker.ts";
import { daemonWith, type Login, type TestDaemon } from "./provisioning.ts";

/** For use inside a test: everything is closed when it is over. */
export const testDaemon = (
  host: string,
  tendingInterval?: Duration.Duration,
): Promise<TestDaemon<DockerEngines>> =>
  daemonWith({
    open: (logger) => openDocker(logger, tendingInterval),
    machine: (engines, resources) => dockerMachine.provide(dockerBackend({ engines, resources })),
    settings: (login) => ({ ...settingsOf(defaults), backend: "docker", docker: sectionOf(host, login) }),
  });

export const sectionOf = (host: string, { execution = {}, timeouts = {}, connection = {} }: Login): Docker =>
  Schema.decodeUnknownSync(Docker)({
    connection: { host, ...connection },
    execution: { container: { Image: "busybox:1" }, shellCommand: ["/bin/sh"], ...execution },
    timeouts,
  });
