/** Drives `kubernetesMachine` with its sources against an API server, as a connection would. */
import { Schema } from "effect";
import { kubernetesMachine } from "../../machines/kubernetes.ts";
import {
  type KubernetesClusters,
  kubernetesBackend,
  openKubernetes,
} from "../../src/backend/kubernetes/backend.ts";
import { defaults, settingsOf } from "../../src/config/schema.ts";
import { Kubernetes } from "../../src/config/sections/kubernetes.ts";
import { BUSYBOX, IDLE, specFor } from "./kubernetes.ts";
import { daemonWith, type Login, type Raw, type TestDaemon } from "./provisioning.ts";

/** For use inside a test: everything is closed when it is over. */
export const testDaemon = (access: Raw): Promise<TestDaemon<KubernetesClusters>> =>
  daemonWith({
    open: openKubernetes,
    machine: (clusters, resources) => kubernetesMachine.provide(kubernetesBackend({ clusters, resources })),
    settings: (login) => ({
      ...settingsOf(defaults),
      backend: "kubernetes",
      kubernetes: sectionOf(access, login),
    }),
  });

export const sectionOf = (access: Raw, { pod = {}, timeouts = {}, connection = {} }: Login): Kubernetes =>
  Schema.decodeUnknownSync(Kubernetes)({
    connection: { qps: 50, burst: 100, ...access, ...connection },
    pod: { spec: specFor(BUSYBOX), idleCommand: IDLE, shellCommand: ["/bin/sh"], ...pod },
    timeouts,
  });
