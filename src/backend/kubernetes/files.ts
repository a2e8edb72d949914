/**
 * Puts the files of a login into a container: their bytes go through a program's standard input, for nothing else
 * needs no tool in the image, and nothing of them is in a URL or an audit log. Only the container's user can read
 * them; a file that is there is replaced as a whole, so that no program sees half of it.
 */
import { randomBytes } from "node:crypto";
import { posix } from "node:path";
import { Effect, Redacted, type Scope } from "effect";
import type { Failure } from "../../failure.ts";
import type { FileValue } from "../../metadata.ts";
import { FileWriteFailed } from "./failures.ts";
import { helperResult } from "./helper.ts";
import { type Launched, launch, type ProgramHost } from "./launch.ts";

/** Arguments: path, temporary path. `mv` where there is one. */
const script = `umask 077
d=\${1%/*}
[ -z "$d" ] || [ -d "$d" ] || mkdir -p "$d" || exit
if command -v mv >/dev/null; then cat >"$2" && mv -f "$2" "$1"; else rm -f "$1"; cat >"$1"; fi`;

/** How many files are written at the same time. */
const CONCURRENCY = 4;

export const writeFiles = (
  host: ProgramHost,
  files: Readonly<Record<string, FileValue>>,
): Effect.Effect<void, Failure> =>
  Effect.forEach(
    Object.entries(files),
    ([path, { content }]) => writeFile(host, path, bufferOver(Redacted.value(content))),
    { concurrency: CONCURRENCY, discard: true },
  );

/** The same bytes, not a copy of them. */
const bufferOver = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

const writeFile = (host: ProgramHost, name: string, content: Buffer): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const path = posix.normalize(name);
    const failed = (message: string) => new FileWriteFailed({ message, details: { path } });
    if (!posix.isAbsolute(path) || path.endsWith("/")) {
      return yield* Effect.fail(failed("A file's path is not absolute, or names a directory"));
    }
    host.logger.debug("KUBERNETES_FILE_WRITE", "Writing a file", { path });
    const temporary = `${path}.${randomBytes(4).toString("hex")}`;
    const launched = yield* launch(host, {
      command: {
        words: ["/bin/sh", "-c", script, "sh", path, temporary],
        plain: [host.pod.agentPath, "write-file", path],
      },
      environment: {},
      terminal: undefined,
    });
    yield* feed(launched, content, failed);
    const { status, output } = yield* helperResult(launched);
    if (status !== 0) {
      return yield* Effect.fail(failed(`A file could not be written: ${output} (exit status ${status})`));
    }
  }).pipe(
    Effect.scoped,
    Effect.timeoutOrElse({
      duration: host.timeouts.commandStart,
      orElse: () =>
        Effect.fail(
          new FileWriteFailed({ message: "A file was not written in time", details: { path: name } }),
        ),
    }),
  );

const feed = (
  { input }: Launched,
  content: Buffer,
  failed: (message: string) => FileWriteFailed,
): Effect.Effect<void, FileWriteFailed, Scope.Scope> =>
  Effect.callback<void, FileWriteFailed>((resume) => {
    if (!input.ends) {
      resume(
        Effect.fail(
          failed(
            "The end of a file can't be told: the API server speaks v4.channel.k8s.io and the image has no shell",
          ),
        ),
      );
      return;
    }
    const done = (error?: Error | null): void =>
      resume(error ? Effect.fail(failed(`A file could not be sent: ${error.message}`)) : Effect.void);
    input.write(content, (error) => {
      if (error) done(error);
      else input.end(done);
    });
  });
