/**
 * A client that shows what OpenSSH's hides: exit signals by name, signal requests, single packets of a channel. For
 * tests of the protocol; what a person sees is tested with `ssh` itself.
 */
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { Client, type ClientChannel } from "ssh2";
import { PATIENCE_SECONDS } from "./patience.ts";
import type { SshTarget } from "./ssh.ts";

/** What the server said about a program's end; both are undefined when it said nothing (RFC 4254 section 6.10). */
export interface RemoteExit {
  readonly status: number | undefined;
  readonly signal: string | undefined;
}

export interface RemoteProgram {
  readonly channel: ClientChannel;
  readonly stderr: Readable;
  /** Resolves when the channel is closed, with what came before. */
  readonly exit: Promise<RemoteExit>;
}

export interface NodeClient extends AsyncDisposable {
  readonly client: Client;
  readonly exec: (command: string, options?: { readonly terminal?: boolean }) => Promise<RemoteProgram>;
}

export const nodeClient = async (target: SshTarget): Promise<NodeClient> => {
  const client = new Client();
  const privateKey = target.identityFile === undefined ? undefined : await readFile(target.identityFile);
  await new Promise<void>((resolve, reject) => {
    client.once("ready", resolve).once("error", reject);
    client.connect({
      host: target.host,
      port: target.port,
      username: target.username,
      readyTimeout: PATIENCE_SECONDS * 1000,
      ...(target.password === undefined ? {} : { password: target.password }),
      ...(privateKey === undefined ? {} : { privateKey }),
    });
  });
  const closed = new Promise<void>((resolve) => client.once("close", resolve));
  return {
    client,
    exec: (command, { terminal = false } = {}) =>
      new Promise((resolve, reject) => {
        client.exec(command, { pty: terminal }, (error, channel) => {
          if (error) reject(error);
          else resolve({ channel, stderr: channel.stderr as Readable, exit: exitOf(channel) });
        });
      }),
    [Symbol.asyncDispose]: async () => {
      client.end();
      client.destroy();
      await closed;
    },
  };
};

const exitOf = (channel: ClientChannel): Promise<RemoteExit> =>
  new Promise((resolve) => {
    let exit: RemoteExit = { status: undefined, signal: undefined };
    channel.once("exit", (status: number | null, signal?: string) => {
      exit = { status: status ?? undefined, signal: signal?.replace(/^SIG/, "") };
    });
    channel.once("close", () => resolve(exit));
  });
