/**
 * The few calls of the C library that Node.js has no way to make: pipes, pseudoterminals and their size.
 *
 * Node.js gives its children socket pairs where sshd gives pipes, and a socket cannot be opened again as /dev/stdin
 * or /dev/stderr. node-pty lets every later child inherit the masters of all terminals, spins on the event loop
 * while a program doesn't read, and drops what a program wrote last when the client is slow.
 */
import { closeSync, constants, openSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { Effect } from "effect";
import type { TerminalSize } from "../../../machines/facts.ts";
import { LibraryUnavailable } from "./failures.ts";

export interface Libc {
  /** A pipe whose ends no child inherits by accident. @throws Error with an errno code's name in its message */
  readonly openPipe: () => { readonly read: number; readonly write: number };
  /** A pseudoterminal, its master non-blocking. @throws as `openPipe` */
  readonly openTerminal: () => { readonly master: number; readonly slave: number; readonly path: string };
  /** TIOCSWINSZ; the terminal's foreground process group gets SIGWINCH. @throws as `openPipe` */
  readonly setSize: (terminal: number, size: TerminalSize) => void;
}

/** Linux's, as in <fcntl.h>: Node.js sets it on every file that it opens and doesn't name it. */
const O_CLOEXEC = 0o2000000;
/** <asm/ioctls.h>: these architectures follow other systems' numbers. */
const TIOCSWINSZ = ["mips", "mipsel", "ppc64"].includes(process.arch) ? 0x80087467 : 0x5414;

const load = async (): Promise<Libc> => {
  const koffi = await import("koffi");
  const library = koffi.load(null);
  const pipe2: (ends: Int32Array, flags: number) => number = library.func("int pipe2(void *ends, int flags)");
  const grantpt: (master: number) => number = library.func("int grantpt(int master)");
  const unlockpt: (master: number) => number = library.func("int unlockpt(int master)");
  const ptsname: (master: number) => string | null = library.func("const char *ptsname(int master)");
  const ioctl: (fd: number, request: number, type: string, size: Uint16Array) => number = library.func(
    "int ioctl(int fd, unsigned long request, ...)",
  );
  const fail = (call: string): never => {
    throw new Error(`${call}: ${getSystemErrorName(-koffi.errno())}`);
  };

  return {
    openPipe: () => {
      const ends = new Int32Array(2);
      if (pipe2(ends, O_CLOEXEC) !== 0) fail("pipe2");
      const [read = -1, write = -1] = ends;
      return { read, write };
    },
    openTerminal: () => {
      const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
      const master = openSync("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
      try {
        if (grantpt(master) !== 0) fail("grantpt");
        if (unlockpt(master) !== 0) fail("unlockpt");
        const path = ptsname(master) ?? fail("ptsname");
        return { master, path, slave: openSync(path, O_RDWR | O_NOCTTY) };
      } catch (error) {
        closeSync(master);
        throw error;
      }
    },
    setSize: (terminal, { rows, columns, widthPixels, heightPixels }) => {
      const size = Uint16Array.of(rows, columns, widthPixels, heightPixels);
      if (ioctl(terminal, TIOCSWINSZ, "void *", size) !== 0) fail("ioctl TIOCSWINSZ");
    },
  };
};

/** The C library, loaded when it is first needed. */
export const libcOnce = (): Effect.Effect<Libc, LibraryUnavailable> => {
  let loading: Promise<Libc> | undefined;
  return Effect.tryPromise({
    try: () => {
      loading ??= load();
      return loading;
    },
    catch: (cause) =>
      new LibraryUnavailable({
        message:
          "The C library could not be reached through koffi; programs need Linux on a platform it supports",
        details: {
          platform: `${process.platform}-${process.arch}`,
          error: cause instanceof Error ? cause.message : String(cause),
        },
        cause,
      }),
  });
};
