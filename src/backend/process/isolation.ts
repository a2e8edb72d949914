/** Whether programs can be isolated on this host: is bubblewrap there, and does a sandbox really work. */
import { closeSync, openSync } from "node:fs";
import { Duration, Effect, Option } from "effect";
import type { Exit, Settings } from "../../../machines/facts.ts";
import { findExecutable, findNobody, findSystemProgram } from "./executables.ts";
import type { StartFailed } from "./failures.ts";
import { SANDBOX_ID } from "./home.ts";
import { launchSandboxed, type Sandbox } from "./sandbox.ts";
import { systemView } from "./sandbox-view.ts";

export type Isolation = { readonly usable: true; readonly sandbox: Sandbox } | Unusable;

interface Unusable {
  readonly usable: false;
  readonly reason: string;
  /** Whether the host can't do it; otherwise that is not known, for it did not answer in time. */
  readonly isCertain: boolean;
}

/** BusyBox's awk before 1.37 takes death by a signal for success. */
const AWKS = ["mawk", "gawk", "awk"];
const PROBE_TIMEOUT = Duration.seconds(10);

/**
 * Finds out what `process.network` asks for. What works is remembered for the life of the function; what doesn't is
 * tried again, so that an operator who mends it, or a host that was short of processes, is not held to it.
 */
export const isolationOnce = (): ((sharesNetwork: boolean) => Effect.Effect<Isolation>) => {
  const usable = new Map<boolean, Isolation>();
  return (sharesNetwork) =>
    Effect.gen(function* () {
      const known = usable.get(sharesNetwork);
      if (known !== undefined) return known;
      const isolation = yield* findIsolation(sharesNetwork);
      if (isolation.usable) usable.set(sharesNetwork, isolation);
      return isolation;
    });
};

/** What an operator should know about the isolation of the configured process backend; nothing if all is well. */
export const isolationWarning = ({
  isolation,
  network,
}: Settings["process"]): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    if (isolation === "none") return withoutIsolation("process.isolation is none");
    const found = yield* findIsolation(network);
    if (found.usable) return undefined;
    if (isolation === "bubblewrap")
      return `process.isolation is bubblewrap, and every login will be refused: ${found.reason}`;
    return found.isCertain
      ? withoutIsolation(found.reason)
      : `logins are refused as long as this is so: ${found.reason}`;
  });

/** The sentence for the log and for `--check-config`. */
export const withoutIsolation = (reason: string): string =>
  `Programs run without isolation, as the ${whoami()}, and can do to this machine whatever that user can (${reason})`;

const whoami = (): string => (process.getuid?.() === 0 ? "root user" : "user that runs Berth");

const findIsolation = (sharesNetwork: boolean): Effect.Effect<Isolation> =>
  Effect.gen(function* () {
    const [bwrap, awk, setsid, account, view] = yield* Effect.promise(() =>
      Promise.all([
        findExecutable("bwrap"),
        findSystemProgram(...AWKS),
        findSystemProgram("setsid"),
        process.getuid?.() === 0 ? findNobody() : undefined,
        systemView(),
      ]),
    );
    if (bwrap === undefined) return unusable("bubblewrap is not installed");
    if (awk === undefined) return unusable("awk is not installed");
    if (setsid === undefined) return unusable("setsid is not installed");
    const sandbox: Sandbox = {
      ...{ bwrap, awk, setsid, account },
      arguments: [...namespaceArguments(sharesNetwork), ...view.arguments],
      configuration: view.configuration,
    };
    const complaint = yield* tryOut(sandbox);
    return complaint ?? { usable: true, sandbox };
  });

const unusable = (reason: string): Unusable => ({ usable: false, reason, isCertain: true });

const namespaceArguments = (sharesNetwork: boolean): readonly string[] => [
  ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
  ...(sharesNetwork ? [] : ["--unshare-net"]),
  ...["--uid", String(SANDBOX_ID), "--gid", String(SANDBOX_ID), "--die-with-parent"],
];

/** The kernel, a container around Berth or a security module may forbid it: only a program that ran there proves it. */
const tryOut = (sandbox: Sandbox): Effect.Effect<Unusable | undefined> =>
  Effect.acquireUseRelease(
    Effect.sync(() => openSync("/dev/null", "r+")),
    (nowhere) =>
      Effect.gen(function* () {
        const probe = launchSandboxed(sandbox, {
          command: ["/bin/sh", "-c", "kill -TERM $$"],
          arguments: sandbox.configuration.flatMap((path) => ["--ro-bind", path, path]),
          variables: {},
          streams: [nowhere, nowhere, nowhere],
          hasTerminal: false,
        });
        const verdict = Effect.andThen(probe.started, probe.ended).pipe(
          Effect.map(verdictOn),
          Effect.catch((error) => Effect.succeed(complaintOf(error))),
          Effect.timeoutOption(PROBE_TIMEOUT),
          Effect.ensuring(probe.kill),
        );
        return Option.getOrElse(yield* verdict, () => ({
          ...unusable("bubblewrap did not answer in time"),
          isCertain: false,
        }));
      }),
    (nowhere) => Effect.sync(() => closeSync(nowhere)),
  );

const verdictOn = (exit: Exit): Unusable | undefined =>
  exit.kind === "signal" && exit.signal === "TERM"
    ? undefined
    : unusable(
        "this host's awk does not tell how a program ended, as mawk and gawk do, or setsid did not run it",
      );

const complaintOf = ({ message, details }: StartFailed): Unusable =>
  unusable(`${message}: ${String(details?.diagnostics ?? "").trim()}`);
