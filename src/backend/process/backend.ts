/**
 * Berth's own backend, the embedded default: a connection's programs run on this machine, isolated by bubblewrap where
 * the host has it.
 */
import { Effect } from "effect";
import type { Environment, Provisioning } from "../../../machines/facts.ts";
import type { FurnishedPlacement, Home, Host, Placement } from "../../../machines/process.ts";
import type { Failure } from "../../failure.ts";
import { fromEffect } from "../../from-effect.ts";
import { wipeFiles } from "../../metadata.ts";
import type { ConnectionResources } from "../backend.ts";
import { findExecutable, findShell } from "./executables.ts";
import { StartFailed } from "./failures.ts";
import { writeFiles } from "./files.ts";
import { openLoopback } from "./forwarding.ts";
import { prepareHome } from "./home.ts";
import { isolationOnce, withoutIsolation } from "./isolation.ts";
import { libcOnce } from "./libc.ts";
import { placesOf } from "./places.ts";
import { startProgram } from "./program.ts";
import type { Sandbox } from "./sandbox.ts";
import { isSystemProgram } from "./sandbox-view.ts";

export interface ProcessResources extends ConnectionResources {
  readonly link: {
    /** `address:port` of the server's end. */
    readonly localAddress: string;
  };
}

export interface ProcessBackendDependencies {
  readonly resources: (connectionId: string) => ProcessResources;
}

/** What `processMachine.provide` takes. What is found out about this machine is kept for all connections. */
export const processBackend = ({ resources }: ProcessBackendDependencies) => {
  const libcOf = libcOnce();
  const isolationFor = isolationOnce();
  const warned = new Set<string>();
  const sttyOnce = once(() => findExecutable("stty"));

  const inspectHost = ({ settings }: Provisioning): Effect.Effect<Host> =>
    Effect.gen(function* () {
      const { isolation: wanted, network, shell } = settings.process;
      const isolation =
        wanted === "none"
          ? { usable: false as const, reason: "process.isolation is none", isCertain: true }
          : yield* isolationFor(network);
      const isVisible = isolation.usable ? isSystemProgram : () => true;
      const { found, tried } = yield* Effect.promise(() => findShell(shell, isVisible));
      const sandbox = isolation.usable ? { usable: true as const } : isolation;
      return { wanted, sandbox, shell: found, shellsTried: tried };
    });

  /** The sandbox of a placement that was found to be isolated; without it, nothing is started. */
  const sandboxOf = ({ isolated, settings }: Placement): Effect.Effect<Sandbox | undefined, StartFailed> =>
    Effect.gen(function* () {
      if (!isolated) return undefined;
      const isolation = yield* isolationFor(settings.process.network);
      if (isolation.usable) return isolation.sandbox;
      const details = { reason: isolation.reason };
      return yield* Effect.fail(new StartFailed({ message: "bubblewrap is not usable any more", details }));
    });

  const furnish = (placement: Placement): Effect.Effect<Home, Failure> =>
    Effect.gen(function* () {
      const sandbox = yield* sandboxOf(placement);
      return yield* prepareHome(placement, resources(placement.connectionId), sandbox);
    });

  const openEnvironment = (placement: FurnishedPlacement): Effect.Effect<Environment, Failure> =>
    Effect.gen(function* () {
      const { connectionId, settings, isolated } = placement;
      const { logger, link } = resources(connectionId);
      const libc = yield* libcOf;
      const sandbox = yield* sandboxOf(placement);
      const stty = yield* Effect.promise(sttyOnce);
      const host = { libc, placement, sandbox, stty, logger, localAddress: link.localAddress };
      return {
        description: isolated ? "process in a sandbox" : "process without isolation",
        start: (request) => startProgram(host, request),
        openTcp: (name, port) => openLoopback(name, port, !isolated || settings.process.network),
      };
    });

  return {
    actors: {
      inspectHost: fromEffect(inspectHost),
      prepareHome: fromEffect(furnish),
      writeFiles: fromEffect((placement: FurnishedPlacement) =>
        Effect.ensuring(
          writeFiles(placement.identity.files, placesOf(placement)),
          wipeFiles(placement.identity.files),
        ),
      ),
      openEnvironment: fromEffect(openEnvironment),
    },
    actions: {
      warnOfNoIsolation: (
        _: unknown,
        { connectionId, reason }: { readonly connectionId: string; readonly reason: string },
      ): void => {
        if (warned.has(reason)) return;
        warned.add(reason);
        resources(connectionId).logger.warning("PROCESS_NO_ISOLATION", withoutIsolation(reason));
      },
    },
  };
};

const once = <A>(find: () => Promise<A>): (() => Promise<A>) => {
  let found: Promise<A> | undefined;
  return () => {
    found ??= find();
    return found;
  };
};
