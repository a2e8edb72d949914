/**
 * The SSH server with a few callbacks where the machines are: everybody gets in who proves a key or knows the
 * password, and programs are commands of the shell. A test replaces what it is about.
 */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { Effect, Exit, Redacted, Schema, Scope } from "effect";
import { onTestFinished } from "vitest";
import type { AuthenticationRequested } from "../../../machines/authentication-facts.ts";
import type { ConnectionEvent } from "../../../machines/connection-facts.ts";
import type { Program, Exit as ProgramExit } from "../../../machines/facts.ts";
import type { SessionRequest } from "../../../machines/session.ts";
import { Ssh } from "../../../src/config/sections/ssh.ts";
import { HostKey } from "../../../src/ssh/host-key.ts";
import type { Link } from "../../../src/ssh/link.ts";
import { type SshServerOptions, sshServer } from "../../../src/ssh/server.ts";
import { type MemoryLog, memoryLogger } from "../../support/memory-logger.ts";
import { PASSWORD } from "../../support/wire-client.ts";

/** What the machines would decide. */
export interface Script {
  readonly authenticate: (event: AuthenticationRequested, link: Link) => void;
  readonly open: (channel: number, link: Link) => void;
  readonly request: (request: SessionRequest, channel: number, link: Link) => void;
  readonly run: (program: Program, channel: number, link: Link) => void;
}

export interface Connected {
  readonly link: Link;
  readonly events: readonly ConnectionEvent[];
  /** The first event of a type, once it is there. */
  readonly event: <T extends ConnectionEvent["type"]>(
    type: T,
  ) => Promise<Extract<ConnectionEvent, { type: T }>>;
  /** Its socket is closed. */
  readonly closed: Promise<void>;
}

export interface ScriptedServer {
  readonly host: string;
  readonly port: number;
  readonly log: MemoryLog;
  readonly connections: readonly Connected[];
  /** The nth connection, from 0, once it is there. */
  readonly connection: (index?: number) => Promise<Connected>;
  readonly hostKeys: readonly string[];
}

export interface ScriptedOptions {
  /** Of the section `ssh`, as a file has it. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly hostKeys?: readonly HostKey[];
  readonly script?: Partial<Script>;
  readonly bytesPerKey?: number;
  readonly onSocket?: SshServerOptions["onSocket"];
}

export const METHODS = ["publickey", "password"] as const;

const admitting: Script["authenticate"] = ({ credential }, link) => {
  if (credential?.method === "publickey") {
    if (!credential.signed) return link.answerKeyAcceptable();
    if (credential.verify()) return link.answerSuccess();
  }
  if (credential?.method === "password" && Redacted.value(credential.password) === PASSWORD) {
    return link.answerSuccess();
  }
  link.answerFailure(METHODS);
};

/** Runs a command as a backend would, with its streams piped. */
export const runCommand: Script["run"] = (program, channel, link) => {
  const streams = link.streams(channel);
  if (streams === undefined) throw new Error("the channel has no streams");
  const child = spawn("sh", program.kind === "exec" ? ["-c", program.command] : ["-s"]);
  streams.channel.pipe(child.stdin);
  child.stdin.on("error", () => streams.channel.unpipe(child.stdin).resume());
  child.stdout.pipe(streams.channel, { end: false });
  child.stderr.pipe(streams.stderr, { end: false });
  child.on("close", (status, signal) => link.closeChannel(channel, exitOf(status, signal)));
  streams.channel.on("close", () => child.kill("SIGKILL"));
};

const exitOf = (status: number | null, signal: NodeJS.Signals | null): ProgramExit =>
  signal === null
    ? { kind: "status", status: status ?? 255 }
    : { kind: "signal", signal: signal.slice(3), coreDumped: false, message: "killed" };

const accepting: Script["request"] = (_, channel, link) => link.acceptRequest(channel);

export const newHostKey = (): HostKey =>
  readHostKey(generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString());

export const readHostKey = (pem: string): HostKey => {
  const key = HostKey.read(pem);
  if (typeof key === "string") throw new Error(key);
  return key;
};

export const lineOf = (key: HostKey): string => `${key.type} ${key.getPublicSSH().toString("base64")}`;

/** Starts a server on a free port of the loopback; it is gone when the test is over. */
export const serve = async ({
  config = {},
  hostKeys = [newHostKey()],
  script: part = {},
  bytesPerKey,
  onSocket,
}: ScriptedOptions = {}): Promise<ScriptedServer> => {
  const script: Script = {
    authenticate: admitting,
    open: (channel, link) => link.acceptChannel(channel),
    request: accepting,
    run: runCommand,
    ...part,
  };
  const log = memoryLogger();
  const connections: Connected[] = [];
  const waiting: (() => void)[] = [];
  const scope = await Effect.runPromise(Scope.make());
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)));
  onTestFinished(() => {
    for (const { link } of connections) link.disconnect("byApplication", "");
  });
  const server = sshServer({
    config: Schema.decodeUnknownSync(Ssh)({ listen: "127.0.0.1:0", ...config }),
    hostKeys,
    logger: log.logger,
    ...(bytesPerKey === undefined ? {} : { bytesPerKey }),
    onSocket:
      onSocket ??
      ((offer) => {
        connections.push(admit(offer, script));
        for (const wake of waiting.splice(0)) wake();
      }),
  });
  const { address } = await Effect.runPromise(Scope.provide(server, scope));
  const connection = async (index = 0): Promise<Connected> => {
    for (;;) {
      const found = connections[index];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return { host: "127.0.0.1", port, log, connections, connection, hostKeys: hostKeys.map(lineOf) };
};

const admit = (offer: Parameters<SshServerOptions["onSocket"]>[0], script: Script): Connected => {
  const events: ConnectionEvent[] = [];
  const watchers = new Set<() => void>();
  const link: Link = offer.admit((event) => {
    events.push(event);
    follow(event, link, script);
    for (const watcher of [...watchers]) watcher();
  });
  const event: Connected["event"] = (type) =>
    new Promise((resolve) => {
      const look = () => {
        const found = events.find((each) => each.type === type);
        if (found === undefined) return;
        watchers.delete(look);
        resolve(found as never);
      };
      watchers.add(look);
      look();
    });
  const closed = Promise.race([event("peer.disconnected"), event("peer.failed")]).then(() => {});
  return { link, events, event, closed };
};

const follow = (event: ConnectionEvent, link: Link, script: Script): void => {
  if (event.type === "authentication.requested") script.authenticate(event, link);
  if (event.type === "session.opened") script.open(event.channel, link);
  if (event.type === "session.requested") followRequest(event.request, event.channel, link, script);
  if (event.type === "peer.failed") link.disconnect("protocolError", event.refusal.userMessage);
  if (event.type === "peer.disconnected") link.disconnect("byApplication", "");
};

const followRequest = (request: SessionRequest, channel: number, link: Link, script: Script): void => {
  if (request.type !== "program.requested") {
    script.request(request, channel, link);
    return;
  }
  link.openStreams(channel);
  script.run(request.program, channel, link);
};
