/** Clients that break the protocol, or speak it to no good end, against the running daemon. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Message } from "../../../src/ssh/wire.ts";
import { run } from "../../support/command.ts";
import { everything, rawSocket } from "../../support/sockets.ts";
import { SshClient } from "../../support/ssh.ts";
import { PASSWORD, WireClient } from "../../support/wire-client.ts";
import {
  echo,
  expectMemoryBack,
  expectWell,
  type HostileDaemon,
  linesAbout,
  MEGABYTE,
  startHostileDaemon,
} from "./hostile-daemon.ts";

let daemon: HostileDaemon;

beforeAll(async () => {
  daemon = await startHostileDaemon();
  await echo(daemon);
});
afterEach(() => expectWell(daemon));
afterAll(() => daemon[Symbol.asyncDispose]());

/** What a connection must be remembered by, whatever became of it. */
const failedHandshake = expect.objectContaining({ connectionId: expect.stringMatching(/^[0-9a-f]{32}$/) });

describe("instead of a banner", () => {
  it.each([
    ["HTTP", "GET / HTTP/1.1\r\nHost: berth\r\n\r\n"],
    ["binary garbage", Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 167 + 255) % 256))],
    ["another version of the protocol", "SSH-1.5-OpenSSH_1.2.3\r\n"],
  ])("%s ends the connection with a sentence", async (_, bytes) => {
    const socket = await rawSocket(daemon);
    const about = linesAbout(daemon, socket);
    socket.write(bytes);
    expect((await everything(socket)).toString()).toContain("The key exchange failed.");
    const { details } = await about("SSH_HANDSHAKE_FAILED");
    expect(details).toEqual(failedHandshake);
    await about("SSH_DISCONNECTED");
  });

  it("10 MB end the connection, and are not kept", () =>
    expectMemoryBack(daemon, async () => {
      // All together are more than what memory may differ by.
      for (let client = 0; client < 12; client++) {
        const socket = await rawSocket(daemon);
        const about = linesAbout(daemon, socket);
        socket.write("SSH-2.0-");
        const chunk = Buffer.alloc(MEGABYTE, "a");
        for (let count = 0; count < 10; count++) socket.write(chunk);
        await everything(socket);
        const { details } = await about("SSH_HANDSHAKE_FAILED");
        expect(details.error).toContain("too long");
        await about("SSH_DISCONNECTED");
      }
    }));
});

describe("before authentication", () => {
  it.each([
    ["a channel", Message.CHANNEL_OPEN, ["session", { uint32: 0 }, { uint32: 2 ** 20 }, { uint32: 2 ** 15 }]],
    ["a forwarded port", Message.GLOBAL_REQUEST, ["tcpip-forward", true, "0.0.0.0", { uint32: 8080 }]],
    ["a program", Message.CHANNEL_REQUEST, [{ uint32: 0 }, "exec", true, "touch /tmp/never"]],
  ] as const)("%s is not opened, and the connection ends", async (_, type, fields) => {
    const client = await WireClient.connect(daemon);
    const about = linesAbout(daemon, client.socket);
    await client.beginAuthentication();
    client.send(type, ...fields);
    expect(await client.disconnection()).toEqual({
      reason: 2,
      text: expect.stringContaining("Your SSH client sent something that this server does not understand."),
    });
    const { details } = await about("SSH_DECODE_FAILED");
    expect(details.error).toBe("the client did not log in first");
    await about("SSH_DISCONNECTED");
  });
});

describe("a user name", () => {
  it("of 1 MB ends the connection, and is not kept", () =>
    expectMemoryBack(daemon, async () => {
      const username = "j".repeat(MEGABYTE);
      // All together are more than what memory may differ by.
      for (let count = 0; count < 100; count++) {
        const client = await WireClient.connect(daemon);
        const about = linesAbout(daemon, client.socket);
        await client.beginAuthentication();
        client.offerPassword(username);
        await about("SSH_DECODE_FAILED");
        await about("SSH_DISCONNECTED");
      }
    }));

  it.each([
    ["NUL", "jane\0root"],
    ["newlines", "jane\nFAKE LOG LINE\r\n"],
    ["an escape sequence", "\u001b[2Jjane"],
    ["30 KB", "j".repeat(30_000)],
    ["nothing", ""],
  ])("of %s is refused six times, is in no line of the log, and ends the connection", async (_, username) => {
    const client = await WireClient.connect(daemon);
    const about = linesAbout(daemon, client.socket);
    await client.beginAuthentication();
    for (let attempt = 0; attempt < 6; attempt++) {
      client.offerPassword(username);
      await client.next(Message.USERAUTH_FAILURE, Message.DISCONNECT);
    }
    await about("AUTH_FAILED");
    const { details } = await about("SSH_DISCONNECTED");
    expect(details.username).toBeUndefined();
    if (username !== "") expect(daemon.log.text).not.toContain(JSON.stringify(username).slice(1, -1));
  });
});

describe("a command", () => {
  const exec = async (command: string | Buffer) => {
    const client = await WireClient.login(daemon);
    const about = linesAbout(daemon, client.socket);
    const channel = await client.openSession();
    const isGranted = await client.request(channel, "exec", command);
    return { client, channel, isGranted, about };
  };

  it("that does not exist is told so, and ends with 127", async () => {
    const { client, isGranted } = await exec("no-such-command --at-all");
    expect(isGranted).toBe(true);
    expect(await client.outcome()).toEqual({
      stdout: "",
      stderr: expect.stringContaining("not found"),
      status: 127,
    });
  });

  it("that is not UTF-8 is refused, and the connection goes on", async () => {
    const { client, channel, isGranted, about } = await exec(Buffer.from("echo \xff\xfe", "latin1"));
    expect(isGranted).toBe(false);
    const { details } = await about("SSH_CHANNEL_REQUEST_FAILED");
    expect(details.reason).toBe("the command is not UTF-8 text");
    expect(await client.request(channel, "exec", "echo ✓")).toBe(true);
    expect(await client.outcome()).toEqual({ stdout: "✓\n", stderr: "", status: 0 });
  });

  it("with NUL is refused", async () => {
    expect((await exec("echo one\0two")).isGranted).toBe(false);
  });

  // As programs get it: one argument of Linux holds 128 KB. OpenSSH's client passes on what it is given.
  const half = `"$(head -c 131000 /dev/zero | tr '\\0' x)"`;

  it("of 256 KB ends the connection of OpenSSH's client with a sentence", async () => {
    await using ssh = await SshClient.to(daemon.target({ username: "well", password: PASSWORD }));
    const result = await run("sh", ["-c", `${ssh.commandLine()} echo ${half} ${half}`], ssh.surroundings);
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Your SSH client sent something that this server does not understand.");
    const { details } = await daemon.log.next("SSH_DECODE_FAILED", { username: "well" });
    expect(details.error).toContain("Bad packet length");
    await daemon.log.next("SSH_DISCONNECTED", { connectionId: details.connectionId ?? "" });
  });

  it("of 30 KB runs", async () => {
    await using ssh = await SshClient.to(daemon.target({ username: "well", password: PASSWORD }));
    const { stdout } = await ssh.run(`echo ${"x".repeat(30_000)} | wc -c`);
    expect(stdout.trim()).toBe("30001");
  });
});
