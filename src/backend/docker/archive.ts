/** Files in and out of a container as tar archives (Docker Engine API, PutContainerArchive, ContainerArchive). */
import { buffer } from "node:stream/consumers";
import { type Duration, Effect } from "effect";
import { extract, pack } from "tar-stream";
import { orUndefined } from "./containers.ts";
import { type Engine, enginePath } from "./engine.ts";
import { EngineError } from "./failures.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A file or directory of an archive; the path is relative to where the archive is unpacked. */
export interface ArchiveEntry extends Owner {
  readonly path: string;
  readonly mode: number;
  /** Missing for a directory. */
  readonly content?: Uint8Array;
}

/** Unpacks entries in an existing directory of a container, whether it runs or not. */
export const putArchive = (
  engine: Engine,
  container: string,
  directory: string,
  entries: readonly ArchiveEntry[],
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.acquireUseRelease(
    Effect.promise(() => packed(entries)),
    (archive) =>
      Effect.asVoid(
        engine.json(
          {
            method: "PUT",
            path: enginePath("containers", container, "archive"),
            query: { path: directory, noOverwriteDirNonDir: true },
            archive,
          },
          timeout,
        ),
      ),
    // Whose files these are may not want them kept.
    (archive) => Effect.sync(() => void archive.fill(0)),
  );

const packed = (entries: readonly ArchiveEntry[]): Promise<Buffer> => {
  const archive = pack();
  for (const { path: name, content, ...attributes } of entries) {
    if (content === undefined) archive.entry({ ...attributes, name, type: "directory" });
    else archive.entry({ ...attributes, name }, bufferOver(content));
  }
  archive.finalize();
  return buffer(archive);
};

/** The same bytes, not a copy of them. */
const bufferOver = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

/** The content of a text file in a container; undefined when it is not there or not a file. */
export const readTextFile = (
  engine: Engine,
  container: string,
  path: string,
  timeout: Duration.Duration,
): Effect.Effect<string | undefined, EngineError> =>
  orUndefined(
    Effect.scoped(
      Effect.flatMap(
        engine.open(
          { method: "GET", path: enginePath("containers", container, "archive"), query: { path } },
          timeout,
        ),
        (response) =>
          Effect.tryPromise({
            try: async () => {
              for await (const entry of response.pipe(extract())) {
                if (entry.header.type === "file") return (await buffer(entry)).toString("utf8");
                entry.resume();
              }
              return undefined;
            },
            catch: (cause) =>
              new EngineError({
                kind: "unreachable",
                status: undefined,
                message: `${path} could not be read: ${String(cause)}`,
                cause,
              }),
          }),
      ),
    ),
  );
