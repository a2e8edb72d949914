/**
 * The files that a login brings into its container: owned by the container's user, for nobody else to read. They go
 * through the Engine's archives, which need nothing in the image; only what is mounted in memory has to be written
 * from inside.
 */
import { posix } from "node:path";
import { type Duration, Effect, Redacted } from "effect";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import type { FileValue } from "../../metadata.ts";
import { type ArchiveEntry, type Owner, putArchive, readTextFile } from "./archive.ts";
import { type ContainerInspection, hasPath, inspectContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import { runHelper } from "./exec.ts";
import { explained, FileWriteFailed } from "./failures.ts";
import { type Launcher, writing } from "./launch.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o755;

/** What an archive can't reach, for it is made when the container starts. */
const MADE_AT_START = ["/dev", "/proc", "/sys"];

export interface FileRequest {
  readonly engine: Engine;
  readonly container: string;
  readonly timeouts: { readonly http: Duration.Duration; readonly commandStart: Duration.Duration };
  /** By absolute path. */
  readonly files: Readonly<Record<string, FileValue>>;
  readonly agentPath: string;
  /** How a program is started in it; undefined while the container does not run. */
  readonly launcher: Launcher | undefined;
  readonly logger: Logger;
}

export const writeFiles = (request: FileRequest): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const files = Object.entries(request.files);
    if (files.length === 0) return;
    const { engine, container, timeouts, logger } = request;
    const inspection = yield* Effect.mapError(
      inspectContainer(engine, container, timeouts.http),
      explained(FileWriteFailed, "The container could not be looked into", { container }),
    );
    const inMemory = [...MADE_AT_START, ...memoryMounts(inspection)];
    const owner = yield* ownerOf(request, inspection.Config.User);
    for (const [name, { content }] of files) {
      const path = posix.normalize(name);
      if (!posix.isAbsolute(path) || path.endsWith("/")) {
        return yield* Effect.fail(
          failed("A file's path is not absolute, or names a directory", request, name),
        );
      }
      logger.debug("DOCKER_FILE_WRITE", "Writing a file", { container, path });
      const bytes = Redacted.value(content);
      yield* inMemory.some((mount) => isUnder(path, mount))
        ? writeInside(request, path, bytes)
        : writeThrough(request, path, bytes, owner);
    }
  });

const failed = (message: string, { container }: FileRequest, path: string): FileWriteFailed =>
  new FileWriteFailed({ message, details: { container, path } });

const memoryMounts = ({ HostConfig: { Tmpfs, Mounts } }: ContainerInspection): readonly string[] => [
  ...Object.keys(Tmpfs ?? {}),
  ...(Mounts ?? []).filter(({ Type }) => Type === "tmpfs").map(({ Target }) => Target),
];

const isUnder = (path: string, directory: string): boolean =>
  path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);

/** By the Engine's archives. Directories that are missing are made; those that exist stay as they are. */
const writeThrough = (
  request: FileRequest,
  path: string,
  content: Uint8Array,
  owner: Owner,
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { engine, container, timeouts } = request;
    const missing: string[] = [];
    let directory = posix.dirname(path);
    while (directory !== "/" && !(yield* hasPath(engine, container, directory, timeouts.http))) {
      missing.unshift(directory);
      directory = posix.dirname(directory);
    }
    const entries: ArchiveEntry[] = missing.map((made) => ({
      path: posix.relative(directory, made),
      mode: DIRECTORY_MODE,
      ...owner,
    }));
    entries.push({ path: posix.relative(directory, path), mode: FILE_MODE, content, ...owner });
    yield* putArchive(engine, container, directory, entries, timeouts.http);
  }).pipe(
    Effect.mapError(
      explained(FileWriteFailed, "A file could not be written", { container: request.container, path }),
    ),
  );

const writeInside = (request: FileRequest, path: string, content: Uint8Array): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { engine, container, timeouts, agentPath, launcher } = request;
    const command = launcher === undefined ? undefined : writing(launcher, path, agentPath);
    if (command === undefined) {
      return yield* Effect.fail(
        failed("A file belongs into memory, where only a program inside can write it", request, path),
      );
    }
    const { exitCode, output } = yield* Effect.mapError(
      runHelper(engine, container, command, { start: timeouts.commandStart, http: timeouts.http }, content),
      explained(FileWriteFailed, "A file could not be written", { container, path }),
    );
    if (exitCode !== 0) {
      return yield* Effect.fail(failed(`A file could not be written: ${output}`, request, path));
    }
  });

/** The user that programs run as: ids as they are, names by the container's own /etc/passwd and /etc/group. */
const ownerOf = (request: FileRequest, user: string): Effect.Effect<Owner, Failure> =>
  Effect.gen(function* () {
    const [name = "", group] = user.split(":", 2);
    if (name === "" && group === undefined) return { uid: 0, gid: 0 };
    const passwd = yield* table(request, "/etc/passwd");
    const account = passwd.find((fields) => fields[0] === name || fields[2] === name);
    const uid = numberIn(name) ?? numberIn(account?.[2]);
    const gid =
      group === undefined
        ? (numberIn(account?.[3]) ?? 0)
        : (numberIn(group) ?? (yield* groupId(request, group)));
    if (uid === undefined || gid === undefined) {
      return yield* Effect.fail(
        new FileWriteFailed({
          message: `The container has no user ${JSON.stringify(user)} to give files to`,
          details: { container: request.container, user },
        }),
      );
    }
    return { uid, gid };
  });

const groupId = (request: FileRequest, group: string): Effect.Effect<number | undefined, Failure> =>
  Effect.map(table(request, "/etc/group"), (groups) =>
    numberIn(groups.find((fields) => fields[0] === group)?.[2]),
  );

const numberIn = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

/** A file of lines with fields between colons; empty when it is not there. */
const table = (
  { engine, container, timeouts }: FileRequest,
  path: string,
): Effect.Effect<ReadonlyArray<readonly string[]>, Failure> =>
  Effect.map(
    Effect.mapError(
      readTextFile(engine, container, path, timeouts.http),
      explained(FileWriteFailed, "The container's users could not be read", { container, path }),
    ),
    (text) => (text ?? "").split("\n").map((row) => row.split(":")),
  );
