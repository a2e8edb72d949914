/** One login with a browser by the real `ssh` at a terminal, as a world for walks: its provider, its user, its daemon. */
import { expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import type { Provider } from "../../../machines/oauth2.ts";
import { Message } from "../../../src/ssh/wire.ts";
import { codeOn, freeRedirect } from "../browser-login.ts";
import { GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, type GitHub, startGitHub } from "../github.ts";
import {
  approveDevice,
  CLIENT_ID,
  CLIENT_SECRET,
  followLink,
  type OidcProvider,
  startOidcProvider,
  type UserChoice,
} from "../oidc-provider.ts";
import { SshClient, type TerminalSession } from "../ssh.ts";
import { WireClient } from "../wire-client.ts";
import { type ObservedDaemon, startObserved } from "./observed.ts";

export interface BrowserWorld extends AsyncDisposable {
  readonly provider: OidcProvider;
  readonly github: GitHub;
  /** `auth.keyboardInteractive.oauth2` of the daemon that is to be started, and its section `oidc`. */
  readonly oauth2: Record<string, unknown>;
  readonly oidc: Record<string, unknown>;
  readonly startDaemon: () => Promise<ObservedDaemon>;
  readonly logIn: (daemon: ObservedDaemon) => Promise<void>;
  readonly terminal: () => TerminalSession;
  /** Whether a client logs in that answers out of form; it shows nothing to anybody. */
  breaksForm: boolean;
  /** What such a client does: two answers, where there are fewer questions. */
  readonly answerOutOfForm: () => Promise<void>;
  /** What the user does in the browser with the device flow's code. */
  readonly approve: (choice?: UserChoice) => Promise<void>;
  /** What the user does in the browser with the link of the authorization code flow. @returns the page's code. */
  readonly follow: (choice?: UserChoice) => Promise<string>;
  readonly enter: (code: string) => void;
}

/** The code of the device flow in what a user is shown. */
const CODE = /code: (\S+)/;

export const browserWorld = async (): Promise<BrowserWorld> => {
  const { listen, redirectURI } = await freeRedirect();
  const provider = await startOidcProvider({ redirectUri: redirectURI });
  provider.amend("/device/auth", { interval: 0.2 });
  const github = await startGitHub({ login: "demo", callback: redirectURI });
  const oidc: Record<string, unknown> = {
    url: `${provider.issuer}/`,
    redirectURI,
    deviceFlow: true,
    authorizationCodeFlow: true,
    extraScopes: ["profile", "email"],
    enforceScopes: true,
    usernameField: "preferred_username",
  };
  const oauth2: Record<string, unknown> = {
    provider: "oidc",
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    redirect: { listen },
    authTimeout: "5s",
  };
  const opened: AsyncDisposable[] = [provider, github];
  let terminal: TerminalSession | undefined;
  let outlaw: WireClient | undefined;
  const shown = (): string => /http:\S+/.exec(terminal?.output.text ?? "")?.[0] ?? "";
  const session = (): TerminalSession => {
    if (terminal === undefined) throw new Error("nobody has logged in");
    return terminal;
  };
  const world: BrowserWorld = {
    provider,
    github,
    breaksForm: false,
    oauth2,
    oidc,
    startDaemon: async () => {
      const daemon = await startObserved({
        config: {
          backend: "process",
          process: { isolation: "none" },
          auth: {
            keyboardInteractive: {
              method: "oauth2",
              oauth2: {
                ...oauth2,
                oidc,
                ...(oauth2.provider === "github" && {
                  clientId: GITHUB_CLIENT_ID,
                  clientSecret: GITHUB_CLIENT_SECRET,
                }),
              },
            },
          },
        },
      });
      opened.unshift(daemon);
      return daemon;
    },
    logIn: async (daemon) => {
      if (world.breaksForm) {
        outlaw = await WireClient.connect(daemon);
        await outlaw.beginAuthentication();
        const method = ["ssh-connection", "keyboard-interactive", "", ""];
        return outlaw.send(Message.USERAUTH_REQUEST, "demo", ...method);
      }
      const client = await SshClient.to(
        daemon.target({ options: { PreferredAuthentications: "keyboard-interactive" } }),
      );
      terminal = client.terminal("echo in", { prompts: true });
      opened.unshift(terminal, client);
    },
    terminal: session,
    answerOutOfForm: async () => {
      await outlaw?.next(Message.USERAUTH_INFO_REQUEST);
      outlaw?.send(Message.USERAUTH_INFO_RESPONSE, { uint32: 2 }, "a", "b");
      await outlaw?.next(Message.USERAUTH_FAILURE);
    },
    approve: async (choice) => {
      const [, code = ""] = CODE.exec(session().output.text) ?? (await session().waitFor(CODE));
      await approveDevice(shown(), code, choice);
    },
    follow: async (choice) => {
      const page = await followLink(shown(), choice);
      return page.status === 200 ? codeOn(page.html) : "";
    },
    enter: (code) => session().write(`${code}\n`),
    [Symbol.asyncDispose]: async () => {
      for (const each of opened) await each[Symbol.asyncDispose]();
    },
  };
  return world;
};

/** Which provider a machine in the model has come to know. */
export const isAt =
  (name: Provider["name"]) =>
  ({ context }: AnyMachineSnapshot): boolean =>
    context.provider?.name === name;

/** The program ran. */
export const seesIn = async (world: BrowserWorld): Promise<void> => {
  await world.terminal().waitFor(/^in\r?$/m);
};

/** The user reads one of these sentences, the log has its code, and nothing ran. */
export const seesRefused =
  (refusals: Readonly<Record<string, string>>) =>
  async (world: BrowserWorld, { log }: ObservedDaemon): Promise<void> => {
    if (world.breaksForm) {
      await log.any("SSH_AUTH_FAILED");
      return expect(log.all("SSH_HANDSHAKE_SUCCESSFUL")).toEqual([]);
    }
    const { ending, output } = world.terminal();
    expect((await ending).code).toBe(255);
    // A terminal breaks lines that are longer than it.
    const read = output.text.replace(/\s+/g, " ");
    const [code] = Object.entries(refusals).find(([, sentence]) => read.includes(sentence)) ?? [];
    expect(code, read).toBeDefined();
    await log.any(code ?? "");
    expect(log.all("SSH_HANDSHAKE_SUCCESSFUL")).toEqual([]);
  };
