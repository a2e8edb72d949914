/** Exec as a kubelet serves it: a process whose streams are channels of a WebSocket. */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { spawn as spawnInTerminal } from "@lydell/node-pty";
import type { WebSocket } from "ws";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
const CLOSE = 255;

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGTERM: 15,
  SIGUSR1: 10,
};

/** Runs what an exec request's query asks for; like a runtime it leaves the process alone when the client goes. */
export const serveProcess = (stream: WebSocket, query: URLSearchParams): void => {
  const send = (channel: number, bytes: Uint8Array, done?: () => void): void =>
    stream.send(Buffer.concat([Uint8Array.of(channel), bytes]), done);
  const tell = (status: object): void => {
    send(STATUS, Buffer.from(JSON.stringify({ metadata: {}, ...status })));
    stream.close(1000);
  };
  const exited = (code: number): void =>
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
  const words = query.getAll("command");
  const [file = "", ...args] = words;
  if (query.get("tty") === "true") inTerminal(stream, file, args, send, exited);
  else withPipes(stream, file, args, send, exited, tell);
};

type Send = (channel: number, bytes: Uint8Array, done?: () => void) => void;

const inTerminal = (
  stream: WebSocket,
  file: string,
  args: readonly string[],
  send: Send,
  exited: (code: number) => void,
): void => {
  const terminal = spawnInTerminal(file, [...args], { encoding: null });
  terminal.onData((data) => send(STDOUT, Buffer.from(data)));
  terminal.onExit(({ exitCode, signal }) => exited(signal ? 128 + signal : exitCode));
  stream.on("message", (message: Buffer) => {
    if (message[0] === STDIN) terminal.write(message.toString("utf8", 1));
    else if (message[0] === RESIZE) {
      const { Width, Height } = JSON.parse(message.toString("utf8", 1)) as { Width: number; Height: number };
      terminal.resize(Width, Height);
    }
  });
};

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
  const forward = (from: Readable, channel: number): void => {
    from.on("data", (chunk: Buffer) => {
      from.pause();
      send(channel, chunk, () => from.resume());
    });
  };
  forward(child.stdout, STDOUT);
  forward(child.stderr, STDERR);
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
  child.once("close", (code, signal) => exited(code ?? 128 + (SIGNAL_NUMBERS[signal ?? ""] ?? 0)));
};
