/** Exec as a kubelet serves it: a process whose streams are channels of a WebSocket. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { WebSocket } from "ws";
import type { Libc } from "../../../src/backend/process/libc.ts";
import { openTerminal } from "../../../src/backend/process/terminal.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
const CLOSE = 255;

export interface Served {
  readonly words: readonly string[];
  readonly terminal: boolean;
  /** Called with the exit status before the client is told. */
  readonly ended: (code: number) => void;
}

/** Runs a program behind a stream; like a runtime it leaves the process alone when the client goes. */
export const serveProcess = (libc: Libc, stream: WebSocket, { words, terminal, ended }: Served): void => {
  const send = (channel: number, bytes: Uint8Array, done?: () => void): void =>
    stream.send(Buffer.concat([Uint8Array.of(channel), bytes]), done);
  const tell = (status: object): void => {
    send(STATUS, Buffer.from(JSON.stringify({ metadata: {}, ...status })));
    stream.close(1000);
  };
  const exited = (code: number): void => {
    ended(code);
    tell(
      code === 0
        ? { status: "Success" }
        : {
            status: "Failure",
            message: `command terminated with non-zero exit code ${code}`,
            reason: "NonZeroExitCode",
            details: { causes: [{ reason: "ExitCode", message: String(code) }] },
          },
    );
  };
  const [file = "", ...args] = words;
  if (terminal) inTerminal(libc, stream, file, args, send, exited);
  else withPipes(stream, file, args, send, exited, tell);
};

type Send = (channel: number, bytes: Uint8Array, done?: () => void) => void;

const inTerminal = (
  libc: Libc,
  stream: WebSocket,
  file: string,
  args: readonly string[],
  send: Send,
  exited: (code: number) => void,
): void => {
  const { stdin, stdout, terminal, programEnds, handOver } = openTerminal(
    libc,
    { term: "", columns: 80, rows: 24, widthPixels: 0, heightPixels: 0, modes: {} },
    undefined,
  );
  // Without `--wait` setsid becomes the program.
  const child = spawn("setsid", ["--ctty", file, ...args], { stdio: [...programEnds] });
  handOver();
  forward(stdout, STDOUT, send);
  const shown = once(stdout, "end");
  child.once("exit", (code, signal) => {
    terminal?.finish();
    void shown.then(() => exited(statusOf(code, signal)));
  });
  stream.on("message", (message: Buffer) => {
    if (message[0] === STDIN) stdin.write(message.subarray(1));
    else if (message[0] === RESIZE) {
      const { Width, Height } = JSON.parse(message.toString("utf8", 1)) as { Width: number; Height: number };
      terminal?.resize({ columns: Width, rows: Height, widthPixels: 0, heightPixels: 0 });
    }
  });
};

const forward = (from: Readable, channel: number, send: Send): void => {
  from.on("data", (chunk: Buffer) => {
    from.pause();
    send(channel, chunk, () => from.resume());
  });
};

const statusOf = (code: number | null, signal: NodeJS.Signals | null): number =>
  code ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 0);

const withPipes = (
  stream: WebSocket,
  file: string,
  args: readonly string[],
  send: Send,
  exited: (code: number) => void,
  tell: (status: object) => void,
): void => {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  child.once("error", (error) =>
    tell({
      status: "Failure",
      reason: "InternalError",
      message: `exec failed: ${error.message}: no such file or directory`,
      code: 500,
    }),
  );
  child.stdin.on("error", () => undefined);
  forward(child.stdout, STDOUT, send);
  forward(child.stderr, STDERR, send);
  stream.on("message", (message: Buffer) => {
    if (message[0] === CLOSE && message[1] === STDIN) child.stdin.end();
    if (message[0] !== STDIN || message.length === 1) return;
    if (!child.stdin.write(message.subarray(1))) {
      stream.pause();
      child.stdin.once("drain", () => stream.resume());
      child.stdin.once("close", () => stream.resume());
    }
  });
  stream.once("close", () => child.stdin.end());
  child.once("close", (code, signal) => exited(statusOf(code, signal)));
};
