/** Sockets of clients that don't speak SSH, or not to the end. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { pipeline } from "node:stream";
import { onTestFinished } from "vitest";
import { must } from "./command.ts";

/** A socket that is connected to the server and destroyed when the test is over. */
export const rawSocket = async ({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<Socket> => {
  const socket = connect({ host, port, noDelay: true });
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  socket.on("error", () => {});
  return socket;
};

/** Everything the server said until it closed the socket. */
export const everything = async (socket: Socket): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve) =>
    pipeline(
      socket,
      async (source) => {
        for await (const _ of source);
      },
      () => resolve(),
    ),
  );
  return Buffer.concat(chunks);
};

/** Closes the socket that listens on a port behind the back of the program that has it. Needs root. */
export const closeListener = async (port: number): Promise<void> => {
  const { stdout } = await must("ss", ["--kill", "--no-header", "--tcp", "--listening", `sport = :${port}`]);
  if (stdout.trim() === "") throw new Error(`nobody listened on port ${port}`);
};

/** The processes whose sockets listen on a port. */
export const listenersOf = async (port: number): Promise<readonly number[]> => {
  const { stdout } = await must("ss", [
    "--no-header",
    "--tcp",
    "--listening",
    "--processes",
    `sport = :${port}`,
  ]);
  return [...stdout.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid));
};
