/** A daemon for hostile clients: whatever one of them did, it goes on serving, and nothing of it stays behind. */
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import { type Configuration, type Daemon, startDaemon } from "../../support/daemon.ts";
import type { LogLine } from "../../support/log.ts";
import { nodeClient } from "../../support/node-client.ts";
import { eventually, processTree } from "../../support/resources.ts";
import {
  type Asked,
  answer,
  type Behaviour,
  byPath,
  openWebhookServer,
  type WebhookServer,
} from "../../support/webhook-server.ts";
import { PASSWORD } from "../../support/wire-client.ts";

export const MEGABYTE = 2 ** 20;

/** What memory may differ by between two moments of rest: what the collector has not looked at yet. */
const SLACK_BYTES = 64 * MEGABYTE;

/** A webhook's path, its user, and how it answers then; everybody else is welcome. */
export type Misbehaviour = readonly [path: string, username: string, behaviour: Behaviour];

export interface HostileDaemon extends Daemon {
  readonly webhook: WebhookServer;
}

/** Asks webhooks for passwords, authorization and configuration. */
export const startHostileDaemon = async (
  misbehaviours: readonly Misbehaviour[] = [],
  config: Configuration = {},
  webhookOptions: Configuration = {},
  /** A shell command that runs before the daemon; needs root. */
  beforehand?: string,
): Promise<HostileDaemon> => {
  const behave =
    (path: string, otherwise: object): Behaviour =>
    (response, asked, count) => {
      const [, , behaviour = answer(otherwise)] =
        misbehaviours.find(([where, who]) => where === path && who === usernameOf(asked)) ?? [];
      behaviour(response, asked, count);
    };
  const webhook = await openWebhookServer(
    byPath({
      "/password": behave("/password", { success: true }),
      "/authz": behave("/authz", { success: true }),
      "/config": behave("/config", { config: {} }),
    }),
  );
  const method = { method: "webhook", webhook: { url: webhook.url, ...webhookOptions } };
  const daemon = await startDaemon({
    ...(beforehand !== undefined && { beforehand }),
    config: {
      auth: { password: method, authz: method },
      configserver: { url: `${webhook.url}/config`, timeout: "2s" },
      backend: "process",
      ...config,
    },
  });
  return {
    ...daemon,
    webhook,
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      await webhook[Symbol.asyncDispose]();
    },
  };
};

export const usernameOf = (asked: Asked): string => (asked.body as { readonly username: string }).username;

/** Finds lines by the client's end of its connection; to be called while the socket is open. */
export const linesAbout = (
  { log }: Daemon,
  { localPort }: Socket,
): ((code: string, withinSeconds?: number) => Promise<LogLine>) => {
  const remoteAddr = `127.0.0.1:${localPort}`;
  return (code, withinSeconds) => log.next(code, { remoteAddr }, withinSeconds);
};

/** What a client that behaves gets. */
export const echo = async (daemon: Daemon): Promise<string> => {
  await using client = await nodeClient(daemon.target({ username: "well", password: PASSWORD }));
  const { channel, stderr, exit } = await client.exec("echo well");
  stderr.resume();
  const [output] = await Promise.all([text(channel), exit]);
  return output;
};

/** The daemon serves, runs no program, and logged no bug of ours. */
export const expectWell = async (daemon: Daemon): Promise<void> => {
  expect(await echo(daemon)).toBe("well\n");
  await expectNoPrograms(daemon);
  expect(daemon.log.all("UNKNOWN_ERROR")).toEqual([]);
  expect(daemon.log.lines.filter(({ level }) => level === "crit")).toEqual([]);
};

export const expectNoPrograms = (daemon: Daemon): Promise<unknown> =>
  eventually(async () => (await processTree(daemon.pid)).length === 1, "no program is left");

/** Does something and looks at what it cost: the daemon's memory must return to where it was. */
export const expectMemoryBack = async (daemon: Daemon, act: () => Promise<unknown>): Promise<void> => {
  const before = daemon.rssBytes();
  await act();
  await eventually(
    async () => daemon.rssBytes() - before < SLACK_BYTES,
    `the ${Math.round((daemon.rssBytes() - before) / MEGABYTE)} MiB that the daemon grew by are given back`,
  );
};
