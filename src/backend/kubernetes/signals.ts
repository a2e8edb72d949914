/** Signals for a program in a container, by another exec: through the guest agent, or through the container's shell. */
import { type Duration, Effect } from "effect";
import type { Failure } from "../../failure.ts";
import { SIGNALS } from "../docker/exit.ts";
import { SignalFailed, SignalWithoutMeans } from "./failures.ts";
import { runHelper } from "./helper.ts";
import type { Handle, ProgramHost } from "./launch.ts";

/** A signal of the client's, by its RFC 4254 name: the guest agent's where the image has it. */
export const sendSignal = (
  host: ProgramHost,
  handle: Handle | undefined,
  signal: string,
): Effect.Effect<void, Failure> => {
  if (!Object.hasOwn(SIGNALS, signal)) {
    return Effect.fail(new SignalFailed({ message: "There is no such signal", details: { signal } }));
  }
  if (handle?.agent === true) {
    const { agentPath } = host.pod;
    return deliver(
      host,
      [agentPath, "signal", "--pid", String(handle.pid), "--signal", signal],
      signal,
      host.timeouts.signal,
    );
  }
  return handle?.shell === true
    ? byShell(host, handle, signal, host.timeouts.signal)
    : Effect.fail(
        new SignalWithoutMeans({
          message: "There is neither a guest agent nor a shell in the image to send a signal with",
          details: { signal },
        }),
      );
};

/**
 * Hangs a program up or kills it, with all it has started where that is known. A program that its user made immune
 * to hanging up (`nohup`) lives on: only the program itself is killed.
 */
export const sendEnd = (
  host: ProgramHost,
  handle: Handle,
  signal: "HUP" | "KILL",
  timeout: Duration.Duration,
): Effect.Effect<void, Failure> => {
  if (!handle.shell) return sendSignal(host, handle, signal);
  return byShell(host, signal === "KILL" ? { ...handle, group: 0 } : handle, signal, timeout);
};

/** Arguments: signal, process or group. Some shells insist on `--` before a group, busybox's on there being none. */
export const KILL = 'if kill -s 0 -- $$ 2>/dev/null; then kill -s "$1" -- "$2"; else kill -s "$1" "$2"; fi';

const byShell = (host: ProgramHost, { pid, group }: Handle, signal: string, timeout: Duration.Duration) =>
  deliver(
    host,
    ["/bin/sh", "-c", KILL, "sh", signal, group > 0 ? `-${group}` : String(pid)],
    signal,
    timeout,
  );

const deliver = (
  { cluster, address, logger }: ProgramHost,
  command: readonly string[],
  signal: string,
  timeout: Duration.Duration,
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    logger.debug("KUBERNETES_EXEC_SIGNAL", "Sending a signal", { signal });
    const { status, output } = yield* runHelper(cluster, address, command, timeout);
    if (status !== 0) {
      return yield* Effect.fail(
        new SignalFailed({ message: `The signal was not delivered: ${output}`, details: { signal, status } }),
      );
    }
    logger.debug("KUBERNETES_EXEC_SIGNAL_SUCCESSFUL", "The signal was delivered", { signal });
  });
