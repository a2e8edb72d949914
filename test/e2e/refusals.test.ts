/** Who is not let in, what they and the operator read about it, and what each step of a login learns of the others. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../support/command.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { freePort } from "../support/ports.ts";
import { SshClient, type SshTarget } from "../support/ssh.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import {
  type Asked,
  answer,
  byPath,
  openWebhookServer,
  type WebhookServer,
  webhookServer,
} from "../support/webhook-server.ts";

const PASSWORD = "correct-horse-battery-staple";
const URL_PASSWORD = "password-in-the-url";
const SENSITIVE = "sensitive-value-of-the-webhook";

/** Base64 of it, as the webhook gets it, is no less a secret. */
const secrets = [PASSWORD, Buffer.from(PASSWORD).toString("base64"), URL_PASSWORD, SENSITIVE];

const login = async (target: SshTarget, command = "true"): Promise<Result> => {
  await using client = await SshClient.to(target);
  return await client.run(command);
};

const bodyOf = (asked: Asked) => asked.body as Readonly<Record<string, unknown>>;

describe("three refusals", () => {
  let webhook: WebhookServer & AsyncDisposable;
  let daemon: Daemon;

  beforeAll(async () => {
    webhook = await openWebhookServer(
      byPath({
        "/password": (response, asked, count) =>
          answer({
            success: bodyOf(asked).username !== "wrong",
            metadata: { TOKEN: { value: SENSITIVE, sensitive: true } },
          })(response, asked, count),
        "/authz": (response, asked, count) =>
          answer({ success: bodyOf(asked).username !== "stranger" })(response, asked, count),
        "/config": (response, asked, count) =>
          answer({ config: bodyOf(asked).username === "misspelt" ? { process: { shel: SENSITIVE } } : {} })(
            response,
            asked,
            count,
          ),
      }),
    );
    const url = webhook.url.replace("http://", `http://berth:${URL_PASSWORD}@`);
    daemon = await startDaemon({
      config: {
        auth: {
          password: { method: "webhook", webhook: { url } },
          authz: { method: "webhook", webhook: { url } },
        },
        configserver: { url: `${url}/config` },
        backend: "process",
      },
    });
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await webhook[Symbol.asyncDispose]();
  });

  const refusals = [
    ["wrong", "AUTH_FAILED", "User name or password not accepted."],
    ["stranger", "AUTHZ_FAILED", "You are not allowed to log in here."],
    ["misspelt", "BACKEND_CONFIG_ERROR", "Your environment is not configured correctly."],
  ] as const;

  it.each(refusals)("%s gets the code %s and reads why", async (username, code, sentence) => {
    const result = await login(daemon.target({ username, password: PASSWORD }));
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain(sentence);
    for (const [, , other] of refusals) if (other !== sentence) expect(result.stderr).not.toContain(other);
    for (const secret of secrets) expect(result.stderr).not.toContain(secret);
    const line = await daemon.log.next(code, (each) => each.level !== "debug");
    expect(line.details).toMatchObject({ username });
    await daemon.log.next("SSH_DISCONNECTED", { connectionId: line.details.connectionId ?? "" });
  });

  it("names the misspelt key, with a suggestion, and not its value", async () => {
    await login(daemon.target({ username: "misspelt", password: PASSWORD }));
    const { message } = await daemon.log.next("BACKEND_CONFIG_ERROR");
    expect(message).toContain("process.shel: unknown key");
    expect(message).toContain("shell");
  });

  it("lets everybody else in", async () => {
    expect(await login(daemon.target({ username: "jane", password: PASSWORD }), "exit 7")).toMatchObject({
      code: 7,
      stderr: "",
    });
  });

  it("left no secret in the log", () => {
    expect(daemon.log.all("HTTP_CLIENT_REQUEST").length).toBeGreaterThan(0);
    for (const secret of secrets) expect(daemon.log.text).not.toContain(secret);
  });
});

describe("what the steps of a login add", () => {
  it("reaches the program, and only what is not sensitive reaches the next step", async () => {
    const value = (text: string) => ({ value: text });
    const webhook = await webhookServer(
      byPath({
        "/password": answer({
          success: true,
          metadata: { A: value("a1"), B: { value: SENSITIVE, sensitive: true } },
          environment: { A: value("a1"), B: { value: SENSITIVE, sensitive: true } },
          files: {
            "/tmp/from-password": { value: Buffer.from("file of the webhook").toString("base64") },
            "/tmp/sensitive": { value: Buffer.from(SENSITIVE).toString("base64"), sensitive: true },
          },
        }),
        "/authz": answer({
          success: true,
          metadata: { A: value("a2"), C: value("c") },
          environment: { A: value("a2"), C: value("c") },
        }),
        "/config": answer({ config: {}, metadata: { D: value("d") }, environment: { D: value("d") } }),
      }),
    );
    const method = { method: "webhook", webhook: { url: webhook.url } };
    await using daemon = await startDaemon({
      config: {
        auth: { password: method, authz: method },
        configserver: { url: `${webhook.url}/config` },
        backend: "process",
      },
    });
    const result = await login(
      daemon.target({ password: PASSWORD }),
      'printf "%s|" "$A" "$B" "$C" "$D"; cat /tmp/from-password; printf "|"; cat /tmp/sensitive',
    );
    expect(result.stderr).toBe("");
    expect(result.stdout).toBe(`a2|${SENSITIVE}|c|d|file of the webhook|${SENSITIVE}`);

    expect(webhook.asked.map(({ path }) => path)).toEqual(["/password", "/authz", "/config"]);
    const [password, authz, config] = webhook.asked.map(bodyOf);
    const connection = {
      username: "demo",
      connectionId: expect.stringMatching(/^[0-9a-f]{32}$/),
      remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      clientVersion: expect.stringMatching(/^SSH-2\.0-OpenSSH/),
    };
    expect(password).toEqual({ ...connection, passwordBase64: Buffer.from(PASSWORD).toString("base64") });
    const files = { "/tmp/from-password": { value: expect.any(String), sensitive: false } };
    const plain = (text: string) => ({ value: text, sensitive: false });
    expect(authz).toEqual({
      ...connection,
      authenticatedUsername: "demo",
      metadata: { A: plain("a1") },
      environment: { A: plain("a1") },
      files,
    });
    expect(config).toEqual({
      ...connection,
      authenticatedUsername: "demo",
      metadata: { A: plain("a2"), C: plain("c") },
      environment: { A: plain("a2"), C: plain("c") },
      files,
    });
    for (const secret of secrets) expect(daemon.log.text).not.toContain(secret);
  });

  it("is the username that was proven, where a step says another one", async () => {
    const webhook = await webhookServer(
      byPath({
        "/password": answer({ success: true, authenticatedUsername: "jane@example.org" }),
        "/config": answer({ config: {} }),
      }),
    );
    await using daemon = await startDaemon({
      config: {
        auth: { password: { method: "webhook", webhook: { url: webhook.url } } },
        configserver: { url: `${webhook.url}/config` },
        backend: "process",
      },
    });
    expect(await login(daemon.target({ password: PASSWORD }))).toMatchObject({ code: 0 });
    expect(bodyOf(webhook.asked.at(-1) as Asked)).toMatchObject({
      username: "demo",
      authenticatedUsername: "jane@example.org",
    });
  });
});

describe("the configuration of 0.4", () => {
  it("with one auth.url asks for passwords and keys, and warns", async () => {
    const folder = await temporaryDirectory();
    const [accepted, refused] = await Promise.all([
      generateKey(folder, "accepted"),
      generateKey(folder, "refused"),
    ]);
    const webhook = await webhookServer(
      byPath({
        "/password": (response, asked, count) =>
          answer({
            success: bodyOf(asked).passwordBase64 === Buffer.from(PASSWORD).toString("base64"),
          })(response, asked, count),
        "/pubkey": (response, asked, count) =>
          answer({ success: bodyOf(asked).publicKey === accepted.publicKey })(response, asked, count),
      }),
    );
    await using daemon = await startDaemon({
      config: { auth: { url: webhook.url, password: true, pubkey: true }, backend: "process" },
    });
    await daemon.log.next("CONFIG_AUTH_URL_DEPRECATED", (line) => line.level === "warning");
    expect(await login(daemon.target({ password: PASSWORD }), "exit 4")).toMatchObject({ code: 4 });
    expect(await login(daemon.target({ password: "wrong" }))).toMatchObject({ code: 255 });
    expect(await login(daemon.target({ identityFile: accepted.file }), "exit 5")).toMatchObject({ code: 5 });
    expect(await login(daemon.target({ identityFile: refused.file }))).toMatchObject({ code: 255 });
  });

  it("with pubkey: false offers passwords only", async () => {
    const webhook = await webhookServer(answer({ success: true }));
    await using daemon = await startDaemon({
      config: { auth: { url: webhook.url, password: true, pubkey: false }, backend: "process" },
    });
    const { stderr } = await login(daemon.target());
    expect(stderr).toContain("Permission denied (password)");
  });
});

describe("a server that is down", () => {
  const down = async () => `http://127.0.0.1:${await freePort()}`;

  it("refuses logins while the configuration server does not answer, and lets them in when it does", async () => {
    const auth = await webhookServer(answer({ success: true }));
    const port = await freePort();
    await using daemon = await startDaemon({
      config: {
        ssh: { loginGraceTime: "5s" },
        auth: { password: { method: "webhook", webhook: { url: auth.url } } },
        configserver: { url: `http://127.0.0.1:${port}/config` },
        backend: "process",
      },
    });
    const refused = await login(daemon.target({ password: PASSWORD }), "echo in");
    expect(refused).toMatchObject({ code: 255, stdout: "" });
    expect(refused.stderr).toContain("Your environment can't be configured at this time.");
    expect(refused.stderr).not.toContain("too long");
    const reason = "HTTP_CLIENT_CONNECTION_FAILED";
    await daemon.log.any(
      "CONFIG_BACKEND_ERROR",
      (line) => line.level === "error" && line.details.reason === reason,
    );
    await daemon.log.any(
      "CONFIG_BACKEND_ERROR",
      ({ message, details }) =>
        message.endsWith("before the time for the login was over") && details.username === "demo",
    );
    expect(daemon.log.all("SSH_LOGIN_GRACE_EXPIRED")).toEqual([]);

    await using _ = await openWebhookServer(byPath({ "/config": answer({ config: {} }) }), port);
    expect(await login(daemon.target({ password: PASSWORD }), "echo in")).toMatchObject({
      code: 0,
      stdout: "in\n",
    });
  });

  it("refuses logins while the authentication server does not answer", async () => {
    const url = await down();
    await using daemon = await startDaemon({
      config: {
        auth: { password: { method: "webhook", webhook: { url, authTimeout: "1s" } } },
        backend: "process",
      },
    });
    const refused = await login(daemon.target({ password: PASSWORD }));
    expect(refused).toMatchObject({ code: 255, stdout: "" });
    expect(refused.stderr).toContain("Your login can't be checked at this time.");
    await daemon.log.next("AUTH_BACKEND_ERROR", (line) => line.level === "error");
  });

  const impatient = { ssh: { loginGraceTime: "5s" }, backend: "process" };

  it("is what a login is refused for that it holds up until its time is over", async () => {
    const webhook = { url: (await webhookServer(answer({}, 500))).url };
    await using daemon = await startDaemon({
      config: { ...impatient, auth: { password: { method: "webhook", webhook } } },
    });
    const { stderr } = await login(daemon.target({ password: PASSWORD }));
    expect(stderr).toContain("Your login can't be checked at this time.");
    expect(stderr).not.toContain("too long");
    // The one line says what the server did, the other that it was the end of this login.
    await daemon.log.any("AUTH_BACKEND_ERROR", { username: "demo", reason: "AUTH_INVALID_STATUS" });
    await daemon.log.any("AUTH_BACKEND_ERROR", { username: "demo", method: "password" });
    expect(daemon.log.all("SSH_LOGIN_GRACE_EXPIRED")).toEqual([]);
  });

  it("is told to those who have only a key, once, with the reference", async () => {
    const folder = await temporaryDirectory();
    const { file: identityFile } = await generateKey(folder, "key");
    const method = { method: "webhook", webhook: { url: await down(), authTimeout: "1s" } };
    await using daemon = await startDaemon({
      config: { auth: { publicKey: method, password: method }, backend: "process" },
    });
    const { stderr } = await login(daemon.target({ identityFile }));
    expect(
      stderr.match(/Your login can't be checked at this time\..*\(reference [0-9a-f]{8}\)/g),
    ).toHaveLength(1);
  });

  it("refuses logins while the authorization server does not answer", async () => {
    const [auth, url] = [await webhookServer(answer({ success: true })), await down()];
    await using daemon = await startDaemon({
      config: {
        auth: {
          password: { method: "webhook", webhook: { url: auth.url } },
          authz: { method: "webhook", webhook: { url, authTimeout: "1s" } },
        },
        backend: "process",
      },
    });
    const refused = await login(daemon.target({ password: PASSWORD }));
    expect(refused).toMatchObject({ code: 255, stdout: "" });
    await daemon.log.next("AUTH_BACKEND_ERROR", (line) => line.level === "error");
  });
});
