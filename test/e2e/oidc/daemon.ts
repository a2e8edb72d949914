/** The daemon with logins at a real provider, and an ssh client whose prompts are answered by hand. */
import { parse } from "yaml";
import { freeRedirect } from "../../support/browser-login.ts";
import { type Daemon, startDaemon } from "../../support/daemon.ts";
import {
  CLIENT_ID,
  CLIENT_SECRET,
  type OidcProvider,
  type ProviderOptions,
  startOidcProvider,
} from "../../support/oidc-provider.ts";
import { SshClient, type SshOptions, type TerminalSession } from "../../support/ssh.ts";

export type Flow = "device" | "code";

export interface World extends AsyncDisposable {
  readonly provider: OidcProvider;
  readonly daemon: Daemon;
  /** Where browsers come back to. */
  readonly redirectURI: string;
  /** The real ssh at a terminal of 80 columns. */
  readonly ssh: (command: string, options?: SshOptions) => Promise<TerminalSession>;
}

/** The block of the release notes under "OIDC extra scopes", as it is written there. */
const RELEASE = `
auth:
  keyboardInteractive:
    method: oauth2
    oauth2:
      provider: oidc
      oidc:
        url: https://your-oidc-server.example.com/
        extraScopes:
          - profile
          - email
        enforceScopes: true
`;

/** The release's block with the URL and the client added; the authorization code flow needs an address, too. */
export const startWorld = async (
  flow: Flow,
  options: {
    readonly oidc?: Readonly<Record<string, unknown>>;
    readonly oauth2?: (at: {
      readonly issuer: string;
      readonly redirectURI: string;
    }) => Readonly<Record<string, unknown>>;
    readonly keyboardInteractive?: Readonly<Record<string, unknown>>;
    readonly provider?: ProviderOptions;
    /** More sections of the configuration. */
    readonly config?: Readonly<Record<string, unknown>>;
    /** How often the daemon may ask, in seconds. */
    readonly interval?: number;
  } = {},
): Promise<World> => {
  const { listen, redirectURI } = await freeRedirect();
  const provider = await startOidcProvider({ redirectUri: redirectURI, ...options.provider });
  provider.amend("/device/auth", { interval: options.interval ?? 0.2 });
  const { auth } = parse(RELEASE);
  const { oauth2 } = auth.keyboardInteractive;
  const daemon = await startDaemon({
    config: {
      backend: "process",
      process: { isolation: "none" },
      auth: {
        keyboardInteractive: {
          ...auth.keyboardInteractive,
          oauth2: {
            ...oauth2,
            clientId: CLIENT_ID,
            clientSecret: CLIENT_SECRET,
            oidc: {
              ...oauth2.oidc,
              url: `${provider.issuer}/`,
              ...(flow === "device" ? {} : { authorizationCodeFlow: true, redirectURI }),
              ...options.oidc,
            },
            redirect: { listen },
            ...options.oauth2?.({ issuer: provider.issuer, redirectURI }),
          },
          ...options.keyboardInteractive,
        },
      },
      ...options.config,
    },
    ...(flow === "code" && {
      ready: async ({ log }) => {
        await Promise.all([log.next("SSH_AVAILABLE"), log.next("AUTH_OAUTH2_AVAILABLE")]);
      },
    }),
  });
  const clients: SshClient[] = [];
  return {
    provider,
    daemon,
    redirectURI,
    ssh: async (command, more = {}) => {
      const login = { PreferredAuthentications: "keyboard-interactive" };
      const client = await SshClient.to(daemon.target({ options: { ...login, ...more } }));
      clients.push(client);
      return client.terminal(command, { prompts: true });
    },
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      for (const client of clients) await client[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
};
