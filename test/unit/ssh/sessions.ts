/** Sessions on a server whose programs are the test's own. */
import { expect } from "vitest";
import type { ChannelStreams } from "../../../src/ssh/link.ts";
import { Message, message, Reader } from "../../../src/ssh/wire.ts";
import { WireClient } from "../../support/wire-client.ts";
import { type Script, serve } from "./scripted.ts";

/** Programs are the test's own. */
export const still: Partial<Script> = { run: () => {} };

export const login = async (script: Partial<Script> = still) => {
  const server = await serve({ script });
  const client = await WireClient.login(server);
  return { server, client, connection: await server.connection() };
};

/** A session whose program "runs": its streams are in the test's hands. */
export const running = async (window?: number, packetBytes?: number) => {
  const { server, client, connection } = await login();
  const channel = await client.openSession(7, window, packetBytes);
  expect(await client.request(channel, "shell")).toBe(true);
  const streams = connection.link.streams(channel) as ChannelStreams;
  return { server, client, connection, channel, streams };
};

export const data = (channel: number, bytes: string | Uint8Array): Buffer =>
  message(Message.CHANNEL_DATA, { uint32: channel }, bytes);

export const dataOf = (payload: Buffer): string => new Reader(payload, 5).string().toString();
