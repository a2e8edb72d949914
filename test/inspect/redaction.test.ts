/**
 * Logs in by every method with secrets that are marked, and looks for the marks in everything that the inspector has
 * ever said: both languages of its WebSocket, every answer of its API, the trace that `berth trace` saves.
 */
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Flow, startWorld } from "../e2e/oidc/daemon.ts";
import { codeOn } from "../support/browser-login.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { base64, Eavesdropper, expectNothingOf, mark } from "../support/eavesdropper.ts";
import { inspectSection } from "../support/inspector.ts";
import { generateKey } from "../support/keys.ts";
import type { LogLine } from "../support/log.ts";
import { approveDevice, CLIENT_SECRET, followLink } from "../support/oidc-provider.ts";
import { directory } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { passwordHash } from "../support/users.ts";
import { answer, byPath, openWebhookServer } from "../support/webhook-server.ts";

const value = (content: string, sensitive: boolean) => ({ value: content, sensitive });

const isEnd = ({ message }: LogLine): boolean => message === "The connection is closed";

describe("with webhooks, keys and a configuration server", () => {
  const secrets = {
    password: mark("password"),
    wrong: mark("wrong-password"),
    url: mark("password-of-the-url"),
    metadata: mark("metadata"),
    public: mark("metadata-that-is-not-sensitive"),
    environment: mark("environment"),
    file: mark("file"),
    variable: mark("variable-of-the-client"),
    command: mark("command"),
    typed: mark("typed"),
    shown: mark("shown"),
    dockerPassword: mark("registry-password"),
  };
  let daemon: Daemon;
  let said: string;
  let keys: readonly string[];

  beforeAll(async () => {
    await using home = await directory();
    const key = await generateKey(home.path, "user");
    const refusedKey = await generateKey(home.path, "refused");
    const additions = {
      metadata: { SECRET: value(secrets.metadata, true), PUBLIC: value(secrets.public, false) },
      environment: { TOKEN: value(secrets.environment, true), MORE: value(secrets.public, false) },
      files: { "/tmp/secret": value(base64(secrets.file), true) },
    };
    await using webhook = await openWebhookServer(
      byPath({
        "/password": (response, asked, count) =>
          answer({
            ...additions,
            success: (asked.body as { passwordBase64: string }).passwordBase64 === base64(secrets.password),
          })(response, asked, count),
        "/pubkey": (response, asked, count) =>
          answer({
            ...additions,
            success: (asked.body as { publicKey: string }).publicKey.includes(
              key.publicKey.split(" ")[1] ?? "no key",
            ),
          })(response, asked, count),
        "/authz": answer({ ...additions, success: true }),
        "/config": answer({
          ...additions,
          config: {
            docker: { execution: { auth: { password: secrets.dockerPassword } } },
            process: { environment: { FROM_CONFIG: secrets.environment } },
          },
        }),
      }),
    );
    const url = webhook.url.replace("http://", `http://berth:${secrets.url}@`);
    const method = { method: "webhook", webhook: { url } };
    daemon = await startDaemon({
      config: {
        auth: { password: method, publicKey: method, authz: method },
        configserver: { url: `${url}/config` },
        backend: "process",
        inspect: inspectSection(),
      },
    });
    const eavesdropper = await Eavesdropper.at(daemon);
    const options = { SetEnv: `LC_SECRET=${secrets.variable}`, SendEnv: "LC_*" };
    {
      await using client = await SshClient.to(daemon.target({ password: secrets.password, options }));
      const { stdout } = await client.run(`cat; echo ${secrets.command} >/dev/null; printf %s "$TOKEN"`, {
        stdin: secrets.typed,
      });
      // The secrets did go where they belong.
      expect(stdout).toBe(`${secrets.typed}${secrets.environment}`);
      await using terminal = client.terminal();
      terminal.write(`echo ${secrets.shown}\n`);
      await terminal.waitFor(secrets.shown);
      terminal.resize(100, 40);
      terminal.write("exit\n");
      await terminal.ending;
    }
    {
      const identityFile = join(home.path, "user");
      await using client = await SshClient.to(daemon.target({ identityFile }));
      expect((await client.run("cat /tmp/secret")).stdout).toBe(secrets.file);
    }
    for (const login of [{ password: secrets.wrong }, { identityFile: join(home.path, "refused") }]) {
      await using client = await SshClient.to(daemon.target(login));
      expect((await client.run("true")).code).toBe(255);
    }
    for (let ended = 0; ended < 5; ended++) await daemon.log.next("SSH_DISCONNECTED", isEnd);
    said = await eavesdropper.everything();
    eavesdropper.close();
    keys = [key, refusedKey].flatMap(({ publicKey }) => publicKey.split(" ")[1] ?? []);
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  it("tells what happened", () => {
    for (const word of [
      "SSH_HANDSHAKE_SUCCESSFUL",
      "AUTH_FAILED",
      "program.requested",
      "env.requested",
      "LC_SECRET",
    ]) {
      expect(said).toContain(word);
    }
  });

  it.each(Object.entries(secrets))("tells nothing of the %s", (_, secret) => expectNothingOf([secret], said));

  it("tells no key, only fingerprints", () => {
    expect(keys).toHaveLength(2);
    expect(said).toContain("SHA256:");
    expectNothingOf(keys, said);
  });

  it("tells neither the token of the inspector nor what the host key is made of", () => {
    expectNothingOf(["a-token-for-the-tests", daemon.hostKey.publicKey.split(" ")[1] ?? ""], said);
  });
});

describe.each<Flow>(["device", "code"])("with a browser, by the %s flow", (flow) => {
  it("tells no code, token or secret of the client", async () => {
    await using here = await startWorld(flow, { config: { inspect: inspectSection() } });
    const eavesdropper = await Eavesdropper.at(here.daemon);
    await using terminal = await here.ssh("echo in as $USER");
    const [link = ""] = await terminal.waitFor(/http:\S+/);
    if (flow === "device") {
      const [, code = ""] = await terminal.waitFor(/code: (\S+)/);
      await approveDevice(link, code);
    } else {
      await terminal.waitFor("Code: ");
      terminal.write(`${codeOn((await followLink(link)).html)}\n`);
    }
    await terminal.waitFor("in as jane");
    await terminal.ending;
    await here.daemon.log.next("SSH_DISCONNECTED", isEnd);
    const said = await eavesdropper.everything();
    eavesdropper.close();
    expect(said).toContain("deviceFlow");
    const sent = here.provider.requests.flatMap(({ body, headers }) => [
      ...["code", "code_verifier", "device_code", "token", "client_secret"].map(
        (name) => body.get(name) ?? "",
      ),
      headers.authorization?.split(" ")[1] ?? "",
    ]);
    const shown = [...terminal.output.text.matchAll(/\b[0-9A-Z]{4}-[0-9A-Z]{4}\b/g)].map(([code]) => code);
    const all = [CLIENT_SECRET, ...sent, ...shown].filter((secret) => secret !== "");
    expect(all.length).toBeGreaterThan(3);
    expectNothingOf(all, said);
  });
});

describe("with users of its own", () => {
  it("tells neither passwords, their hashes nor authorized keys", async () => {
    const password = mark("password");
    const hash = await passwordHash(password);
    const { publicKey } = generateKeyPairSync("ed25519", {
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    await using daemon = await startDaemon({
      config: {
        auth: { password: { method: "users" }, users: [{ name: "demo", passwordHash: hash }] },
        backend: "process",
        process: { isolation: "none", environment: { CONFIGURED: publicKey } },
        inspect: inspectSection(),
      },
    });
    const eavesdropper = await Eavesdropper.at(daemon);
    await using client = await SshClient.to(daemon.target({ password }));
    expect((await client.run("true")).code).toBe(0);
    await daemon.log.next("SSH_DISCONNECTED", isEnd);
    const said = await eavesdropper.everything();
    eavesdropper.close();
    expectNothingOf(
      [password, hash, hash.split("$").at(-1) ?? hash, publicKey.split("\n")[1] ?? publicKey],
      said,
    );
  });
});
