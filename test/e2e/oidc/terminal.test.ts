/** Logins with a browser by the real ssh at a terminal, against a real provider. */
import { describe, expect, it } from "vitest";
import { codeOn } from "../../support/browser-login.ts";
import { approveDevice, CLIENT_SECRET, followLink, type UserChoice } from "../../support/oidc-provider.ts";
import { plinkInTerminal } from "../../support/other-clients.ts";
import type { TerminalSession } from "../../support/ssh.ts";
import { answer, webhookServer } from "../../support/webhook-server.ts";
import { type Flow, startWorld } from "./daemon.ts";

/** What a person does who reads the terminal. */
const logIn = async (terminal: TerminalSession, flow: Flow, choice: UserChoice = {}): Promise<void> => {
  const [link = ""] = await terminal.waitFor(/http:\S+/);
  if (flow === "device") {
    const [, code = ""] = await terminal.waitFor(/code: (\S+)/);
    await approveDevice(link, code, choice);
    return;
  }
  await terminal.waitFor("Code: ");
  terminal.write(`${codeOn((await followLink(link, choice)).html)}\n`);
};

const withoutEmail = { grants: ["openid", "profile"] };

describe.each<Flow>(["device", "code"])("the release's block of YAML in the %s flow", (flow) => {
  it("lets in who grants everything, and revokes the token when they leave", async () => {
    await using here = await startWorld(flow);
    await using terminal = await here.ssh("echo in as $USER; exit 7");
    await logIn(terminal, flow);
    await terminal.waitFor("in as jane");
    expect((await terminal.ending).code).toBe(7);
    await here.provider.nextRequest("/token/revocation");
    const admitted = await here.daemon.log.next("SSH_HANDSHAKE_SUCCESSFUL");
    expect(admitted.details).toMatchObject({ username: "demo", authenticatedUsername: "jane" });
  });

  it("refuses who doesn't grant email: the user reads which, the log has both sets", async () => {
    await using here = await startWorld(flow);
    await using terminal = await here.ssh("echo in");
    await logIn(terminal, flow, withoutEmail);
    await terminal.waitFor("You have not granted the required permission: email");
    const { details } = await here.daemon.log.next("OIDC_REQUIRED_SCOPE_NOT_GRANTED");
    expect(details).toMatchObject({
      requested: "openid profile email",
      granted: "openid profile",
      missing: "email",
    });
    expect((await terminal.ending).code).toBe(255);
    expect(here.daemon.log.all("SSH_HANDSHAKE_SUCCESSFUL")).toEqual([]);
  });

  it("lets in who doesn't grant email where scopes are not enforced, and the configuration server learns it", async () => {
    const server = await webhookServer(answer({ config: {} }));
    await using here = await startWorld(flow, {
      oidc: { enforceScopes: false },
      config: { configserver: { url: server.url, transmitSensitiveMetadata: true } },
    });
    await using terminal = await here.ssh("echo in as $USER");
    await logIn(terminal, flow, withoutEmail);
    await terminal.waitFor("in as jane");
    const [{ body } = {}] = server.asked;
    expect(body).toMatchObject({
      username: "demo",
      authenticatedUsername: "jane",
      metadata: {
        oauth2_granted_scopes: { value: "openid profile" },
        oauth2_access_token: { value: expect.any(String), sensitive: true },
        oidc_name: { value: "jane of the tests" },
      },
    });
    expect(body).not.toHaveProperty("metadata.oidc_email");
  });

  it("works in PuTTY's plink, with which WinSCP shares its prompts", async () => {
    await using here = await startWorld(flow);
    await using terminal = await plinkInTerminal(here.daemon.target(), "echo in as $USER");
    await logIn(terminal, flow);
    await terminal.waitFor("Access granted. Press Return to begin session.");
    terminal.write("\r");
    await terminal.waitFor("in as jane");
    expect((await terminal.ending).code).toBe(0);
  });

  it("fits into 80 columns but for the link, and leaves no token, code or secret in the log", async () => {
    await using here = await startWorld(flow);
    await using terminal = await here.ssh("echo in");
    await logIn(terminal, flow);
    await terminal.waitFor("in");
    await terminal.ending;
    await here.provider.nextRequest("/token/revocation");
    const lines = terminal.output.text.split(/\r?\n/).filter((line) => !line.includes("http"));
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    const secrets = here.provider.requests.flatMap(({ body }) =>
      ["code", "code_verifier", "device_code", "token"].map((name) => body.get(name) ?? ""),
    );
    const shown = [...terminal.output.text.matchAll(/\b[0-9A-Z]{4}-[0-9A-Z]{4}\b/g)].map(([code]) => code);
    expect(shown.length).toBeGreaterThan(0);
    for (const secret of [CLIENT_SECRET, ...shown, ...secrets].filter((text) => text !== "")) {
      expect(here.daemon.log.text).not.toContain(secret);
    }
  });
});

describe("a login that is not completed", () => {
  it("ends at the device code's expiry where that is first", async () => {
    await using here = await startWorld("device", { provider: { deviceCodeSeconds: 2 } });
    await using terminal = await here.ssh("echo in");
    await terminal.waitFor("The login was not approved in time");
    expect((await here.daemon.log.next("AUTH_OAUTH2_TIMEOUT")).level).toBe("notice");
  });

  it("ends at the grace time of logins with a browser where that is first", async () => {
    await using here = await startWorld("device", { keyboardInteractive: { loginGraceTime: "2s" } });
    await using terminal = await here.ssh("echo in");
    await terminal.ending;
    const { details } = await here.daemon.log.next("SSH_LOGIN_GRACE_EXPIRED");
    expect(details).toMatchObject({ loginGraceSeconds: 2 });
  });

  it("asks the provider no more when the client disconnects", async () => {
    await using here = await startWorld("device");
    here.provider.change("/token", () => new Promise(() => {}));
    await using terminal = await here.ssh("echo in");
    const { abandoned } = await here.provider.nextRequest("/token");
    terminal.kill("SIGKILL");
    await abandoned;
    await here.daemon.log.next("SSH_DISCONNECTED");
    expect(here.provider.requests.filter(({ path }) => path === "/token")).toHaveLength(1);
  });
});

describe("a crowd", () => {
  it("of 20 waits without blocking one another or the daemon, and each is let in when it is approved", async () => {
    await using here = await startWorld("device");
    const terminals = await Promise.all(
      Array.from({ length: 20 }, (_, index) => here.ssh(`echo number ${index}`)),
    );
    try {
      const codes = await Promise.all(
        terminals.map(async (terminal) => {
          const [link = ""] = await terminal.waitFor(/http:\S+/);
          const [, code = ""] = await terminal.waitFor(/code: (\S+)/);
          return { link, code };
        }),
      );
      expect(new Set(codes.map(({ code }) => code)).size).toBe(20);
      // The last that came is approved first, while 19 others wait.
      const last = codes.at(-1);
      if (last === undefined) throw new Error("nobody came");
      await approveDevice(last.link, last.code);
      await terminals.at(-1)?.waitFor("number 19");
      expect(here.daemon.log.all("SSH_HANDSHAKE_SUCCESSFUL")).toHaveLength(1);
      for (const { link, code } of codes.slice(0, -1)) await approveDevice(link, code);
      await Promise.all(terminals.slice(0, -1).map((terminal, index) => terminal.waitFor(`number ${index}`)));
    } finally {
      for (const terminal of terminals) await terminal[Symbol.asyncDispose]();
    }
  });
});
