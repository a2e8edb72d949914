/** The Kerberos library as the rest of Berth has it: calls to the process that holds it, which is started when needed. */
import { type ChildProcess, fork } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Data, Duration, Effect, type Scope } from "effect";
import type { Kerberos } from "../../config/sections/kerberos.ts";
import type { Logger } from "../../log/logger.ts";
import { inTurn } from "../../turns.ts";
import { acceptorOf } from "./acceptor.ts";
import type {
  LibraryAnswer,
  LibraryCall,
  LibraryCalls,
  LibraryRequest,
  LibraryStatus,
} from "./library/requests.ts";

/** What the process runs. */
const PROGRAM = fileURLToPath(new URL("./library/process.js", import.meta.url));
/** Passwords that wait for a KDC hold a thread each; logins with tickets never wait for one. */
const THREADS = 128;
/** The id of requests whose answer is of no interest. */
const NOBODY_WAITS = 0;
/** Where files are memory and never reach a disk. */
export const MEMORY_DIRECTORY = "/dev/shm";

/** What of the configuration decides how the library behaves: whoever agrees in it can share a process. */
export type LibrarySettings = Pick<Kerberos, "keytab" | "acceptor" | "configPath" | "clockSkew">;

/** A call did not end well: by the library's word, or because its process is gone. */
export class CallRefused extends Data.TaggedError("CallRefused")<{
  readonly status: LibraryStatus;
  readonly isLost: boolean;
}> {}

export interface KerberosLibrary {
  readonly call: <Call extends LibraryCall>(
    call: Call,
    input: LibraryCalls[Call]["input"],
  ) => Effect.Effect<LibraryCalls[Call]["output"], CallRefused>;
  /** The number of a session that nobody had. */
  readonly newSession: () => number;
  /** Frees what the library keeps for a session, once it doesn't wait for a KDC any more. */
  readonly forget: (session: number) => void;
}

/**
 * The process ends with the scope. Nothing is started before the first call. Fails when there is no directory for
 * files that live as long as a request.
 *
 * @param replayCacheDirectory where the library notes what it has accepted; its default is where it is left out
 */
export const kerberosLibrary = (
  settings: LibrarySettings,
  replayCacheDirectory: string | undefined,
  logger: Logger,
): Effect.Effect<KerberosLibrary, CallRefused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      Effect.tryPromise({
        try: makeScratch,
        catch: (error) =>
          gone(
            `there is no directory for files on their way: ${error instanceof Error ? error.message : error}`,
          ),
      }),
      (scratch) => new LibraryProcess({ settings, replayCacheDirectory, scratch, logger }),
    ),
    (library) => Effect.promise(() => library.close()),
  );

const makeScratch = async (): Promise<string> => {
  const isWritable = await access(MEMORY_DIRECTORY, constants.W_OK).then(
    () => true,
    () => false,
  );
  return mkdtemp(join(isWritable ? MEMORY_DIRECTORY : tmpdir(), "berth-kerberos-"));
};

interface Pending {
  readonly resolve: (output: never) => void;
  readonly reject: (refused: CallRefused) => void;
}

interface LibraryPlace {
  readonly settings: LibrarySettings;
  readonly replayCacheDirectory: string | undefined;
  readonly scratch: string;
  readonly logger: Logger;
}

class LibraryProcess implements KerberosLibrary {
  readonly #settings: LibrarySettings;
  readonly #replayCacheDirectory: string | undefined;
  readonly #scratch: string;
  readonly #logger: Logger;
  readonly #pending = new Map<number, Pending>();
  #child: ChildProcess | undefined;
  #starting: Promise<ChildProcess> | undefined;
  #requests = 0;
  #sessions = 0;
  #isClosed = false;

  constructor({ settings, replayCacheDirectory, scratch, logger }: LibraryPlace) {
    this.#settings = settings;
    this.#replayCacheDirectory = replayCacheDirectory;
    this.#scratch = scratch;
    this.#logger = logger;
  }

  newSession(): number {
    this.#sessions += 1;
    return this.#sessions;
  }

  forget(session: number): void {
    const request: LibraryRequest<"release"> = { id: NOBODY_WAITS, call: "release", input: { session } };
    // A process that is gone has forgotten by itself.
    if (this.#child?.connected) this.#child.send(request, () => {});
  }

  call<Call extends LibraryCall>(
    call: Call,
    input: LibraryCalls[Call]["input"],
  ): Effect.Effect<LibraryCalls[Call]["output"], CallRefused> {
    return Effect.callback((resume) => {
      this.#requests += 1;
      const id = this.#requests;
      this.#pending.set(id, {
        resolve: (output) => resume(Effect.succeed(output)),
        reject: (refused) => resume(Effect.fail(refused)),
      });
      const request: LibraryRequest<Call> = { id, call, input };
      this.#started().then(
        (child) => {
          // Who gave up has wiped the password: a KDC would count the rest as a wrong one.
          if (!this.#pending.has(id)) return;
          child.send(request, (error) => error !== null && this.#lost(child, error.message));
        },
        (error: unknown) => {
          this.#pending.get(id)?.reject(gone(String(error)));
          this.#pending.delete(id);
        },
      );
      return Effect.sync(() => void this.#pending.delete(id));
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const child = this.#child;
    if (child !== undefined) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
    }
    await rm(this.#scratch, { recursive: true, force: true });
  }

  #started(): Promise<ChildProcess> {
    if (this.#isClosed) return Promise.reject(new Error("the daemon stops"));
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<ChildProcess> {
    const { keytab, configPath, clockSkew } = this.#settings;
    // A process that crashed may have left credentials behind.
    for (const name of await readdir(this.#scratch)) await rm(join(this.#scratch, name));
    const ours = join(this.#scratch, "krb5.conf");
    // Of two files, the library takes the first one's word.
    await writeFile(ours, `[libdefaults]\n  clockskew = ${Math.ceil(Duration.toSeconds(clockSkew))}\n`);
    const { KRB5_KTNAME: _, KRB5_CLIENT_KTNAME: __, ...inherited } = process.env;
    const child = fork(PROGRAM, [this.#scratch, keytab, acceptorOf(this.#settings) ?? ""], {
      env: {
        ...inherited,
        KRB5_CONFIG: `${ours}:${configPath}`,
        KRB5CCNAME: "MEMORY:",
        ...(this.#replayCacheDirectory !== undefined && { KRB5RCACHEDIR: this.#replayCacheDirectory }),
        UV_THREADPOOL_SIZE: String(THREADS),
      },
      execArgv: [],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#child = child;
    // A crowd whose KDC answers at once is let in one by one.
    child.on("message", (answer: LibraryAnswer) => inTurn(() => this.#answered(answer)));
    child.once("error", (error) => this.#lost(child, error.message));
    child.once("exit", (code, signal) => this.#lost(child, `it ended with ${signal ?? code}`));
    return child;
  }

  #answered(answer: LibraryAnswer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ("status" in answer) pending?.reject(new CallRefused({ status: answer.status, isLost: false }));
    else pending?.resolve(answer.output as never);
  }

  /** Whoever waits is told; the next call starts another process. */
  #lost(child: ChildProcess, reason: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#starting = undefined;
    if (!this.#isClosed) {
      this.#logger.error("KRB_LIBRARY_FAILED", "The process that holds the Kerberos library is gone", {
        reason,
      });
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(gone(reason));
  }
}

const gone = (text: string): CallRefused =>
  new CallRefused({ status: { kind: "status", major: 0, minor: 0, text, token: undefined }, isLost: true });
