/** What a daemon writes into its log of itself and of one connection, by the reference's codes. */
import { describe, expect, it } from "vitest";
import { Message } from "../../src/ssh/wire.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { SshClient } from "../support/ssh.ts";
import { type Asked, answer, byPath, webhookServer } from "../support/webhook-server.ts";
import { PASSWORD, WireClient } from "../support/wire-client.ts";

/** Everybody gets in, and `verbose` gets a log of their own. */
const startAt = async (level: string): Promise<Daemon> => {
  const webhook = await webhookServer(
    byPath({
      "/password": answer({ success: true }),
      "/config": (response, asked: Asked, count) => {
        const { username } = asked.body as { readonly username: string };
        answer({ config: username === "verbose" ? { log: { level: "debug" } } : {} })(response, asked, count);
      },
    }),
  );
  return startDaemon({
    config: {
      log: { level, format: "ljson", destination: "stdout" },
      auth: { password: { method: "webhook", webhook: { url: webhook.url } } },
      configserver: { url: `${webhook.url}/config` },
      backend: "process",
    },
  });
};

const run = async (daemon: Daemon, username: string): Promise<void> => {
  await using client = await SshClient.to(daemon.target({ username, password: PASSWORD }));
  expect(await client.run("exit 3")).toMatchObject({ code: 3 });
};

describe("the log", () => {
  it("tells of the daemon's and its services' beginning and end", async () => {
    await using daemon = await startAt("info");
    await daemon.log.any("SERVICE_POOL_RUNNING");
    expect((await daemon.stop()).code).toBe(0);
    const codes = daemon.log.lines
      .map(({ code }) => code)
      .filter((code) => /^SERVICE_|^SSH_AVAIL/.test(code));
    expect(codes).toEqual([
      "SERVICE_POOL_STARTING",
      "SERVICE_STARTING",
      "SERVICE_RUNNING",
      "SSH_AVAILABLE",
      "SERVICE_POOL_RUNNING",
      "SERVICE_POOL_STOPPING",
      "SERVICE_STOPPING",
      "SERVICE_STOPPED",
      "SERVICE_POOL_STOPPED",
    ]);
    expect(daemon.log.all("SERVICE_STOPPED")).toMatchObject([{ level: "info", details: { service: "ssh" } }]);
  });

  it("tells of a connection from its first moment on", async () => {
    await using daemon = await startAt("debug");
    expect(daemon.log.all("CORE_CONFIG_FILE")).toMatchObject([
      { level: "debug", details: { file: expect.stringMatching(/berth\.yaml$/) } },
    ]);
    await run(daemon, "jane");
    const { details } = await daemon.log.any("SSH_DISCONNECTED", { username: "jane" });
    const { connectionId } = details;
    const lines = daemon.log.lines.filter((line) => line.details.connectionId === connectionId);
    expect(lines[0]).toMatchObject({ level: "debug", code: "SSH_CONNECTED" });
    const proven = lines.find(({ code }) => code === "SSH_AUTH_SUCCESSFUL");
    expect(proven).toMatchObject({ level: "info", details: { username: "jane", method: "password" } });
    const session = lines.filter(({ code }) => /^SSH_(NEW_CHANNEL|CHANNEL_REQUEST)/.test(code));
    expect(session.every(({ level }) => level === "debug")).toBe(true);
    const exec = session.filter((line) => line.details.RequestType === "exec").map(({ code }) => code);
    expect(session[0]).toMatchObject({ code: "SSH_NEW_CHANNEL", details: { type: "session", channel: 0 } });
    expect(exec).toEqual(["SSH_CHANNEL_REQUEST", "SSH_CHANNEL_REQUEST_SUCCESSFUL"]);
  });

  it("tells a channel of an unknown type from one that is refused, and global requests apart", async () => {
    await using daemon = await startAt("debug");
    const client = await WireClient.login(daemon, "jane");
    const sizes = [{ uint32: 9 }, { uint32: 1000 }, { uint32: 1000 }];
    client.send(Message.CHANNEL_OPEN, "nonsense", ...sizes);
    client.send(Message.GLOBAL_REQUEST, "nonsense", false);
    client.send(Message.GLOBAL_REQUEST, "tcpip-forward", false, "127.0.0.1", { uint32: 0 });
    const failed = await daemon.log.any("SSH_GLOBAL_REQUEST_FAILED");
    expect(failed.details).toMatchObject({ RequestType: "tcpip-forward" });
    expect(daemon.log.all("SSH_GLOBAL_REQUEST")).toMatchObject([
      { details: { RequestType: "tcpip-forward" } },
    ]);
    expect(daemon.log.all("SSH_UNSUPPORTED_CHANNEL_TYPE")).toMatchObject([{ details: { type: "nonsense" } }]);
    expect(daemon.log.all("SSH_UNSUPPORTED_GLOBAL_REQUEST")).toMatchObject([
      { details: { RequestType: "nonsense" } },
    ]);
    expect(daemon.log.all("SSH_NEW_CHANNEL_REJECTED")).toEqual([]);
    client.socket.destroy();
  });

  it("is as loud for one connection as the configuration server says, in all layers", async () => {
    await using daemon = await startAt("notice");
    await run(daemon, "quiet");
    await run(daemon, "verbose");
    const { details } = await daemon.log.any("SSH_DISCONNECTED", { username: "verbose" });
    const codes = daemon.log.lines.map(({ code }) => code);
    expect(codes).toEqual(expect.arrayContaining(["SSH_NEW_CHANNEL", "SSH_CHANNEL_REQUEST", "SSH_EXIT"]));
    const quiet = daemon.log.lines.filter(({ level }) => level === "debug" || level === "info");
    expect(quiet.every((line) => line.details.connectionId === details.connectionId)).toBe(true);
  });
});
