/** What becomes of a connection when one of its actors breaks, which only a bug of ours can bring about. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, toPromise } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import { authorizationCodeMachine } from "../../../machines/authorization-code.ts";
import { connectionMachine } from "../../../machines/connection.ts";
import type { ConnectionEvent } from "../../../machines/connection-facts.ts";
import type { BackendName, Credential, LogLine } from "../../../machines/facts.ts";
import { kerberosMachine } from "../../../machines/kerberos.ts";
import type { Provider } from "../../../machines/oauth2.ts";
import { oidcMachine } from "../../../machines/oidc.ts";
import { processMachine } from "../../../machines/process.ts";
import { provisioningMachine } from "../../../machines/provisioning.ts";
import { defaults, settingsOf } from "../../../src/config/schema.ts";
import { connectionDefaults, identityOf, passwordOf } from "./values.ts";

const ignore = (): void => {};
const identity = identityOf("jane");
/** In the place of any actor. */
const breaks = fromPromise(() => Promise.reject(new Error("a bug"))) as never;
const answers = (output: unknown) => fromPromise(() => Promise.resolve(output)) as never;

/** What a client asks for, by how the user logs in. */
const requests = {
  password: { method: "password", credential: passwordOf("right") },
  browser: {
    method: "keyboard-interactive",
    credential: { method: "keyboard-interactive" } as Credential,
  },
} as const;

interface Broken {
  readonly authentication?: Parameters<typeof authenticationMachine.provide>[0]["actors"];
  readonly connection?: Parameters<typeof connectionMachine.provide>[0]["actors"];
  readonly backend?: BackendName;
  readonly login?: keyof typeof requests;
  readonly isForKerberos?: boolean;
}

const run = async ({
  authentication,
  connection,
  backend = "process",
  login = "password",
  isForKerberos,
}: Broken) => {
  const logged: LogLine[] = [];
  const answered: string[] = [];
  const said: string[] = [];
  const log = (_: unknown, { line }: { line: LogLine }) => void logged.push(line);
  const actor = createActor(
    connectionMachine.provide({
      actors: {
        authentication: authenticationMachine.provide({
          actors: { checkPassword: answers(identity), ...authentication },
          actions: {
            log,
            answerFailure: () => void answered.push("failure"),
            answerSuccess: () => void answered.push("success"),
            showBanner: ignore,
          },
        }),
        configure: answers({ identity, settings: { ...settingsOf(defaults), backend } }),
        release: answers(undefined),
        ...connection,
      },
      actions: { log, disconnect: (_, { text }) => void said.push(text) },
    }),
    {
      input: {
        ...connectionDefaults,
        connectionId: "c1",
        remoteAddress: "127.0.0.1:1",
        methods: ["keyboard-interactive", "password"],
        kerberosMethods: isForKerberos ? ["password"] : [],
      },
    },
  ).start();
  const over = toPromise(actor);
  const events: readonly ConnectionEvent[] = [
    { type: "handshake.completed", clientVersion: "SSH-2.0-test", algorithms: "" },
    { type: "authentication.requested", username: "jane", ...requests[login] },
  ];
  for (const event of events) actor.send(event);
  await over;
  return { logged, answered, said };
};

const provider = (deviceFlow: boolean): Partial<Provider> => ({
  name: "oidc",
  deviceFlow,
  authorizationCodeFlow: !deviceFlow,
});
const browser = (actors: Parameters<typeof oidcMachine.provide>[0]["actors"]): Broken => ({
  login: "browser",
  authentication: { oidc: oidcMachine.provide({ actors: { ...actors } }) },
});
const kerberos = (actors: Parameters<typeof kerberosMachine.provide>[0]["actors"]): Broken => ({
  isForKerberos: true,
  authentication: { kerberos: kerberosMachine.provide({ actors: { ...actors } }) },
});

const beforeTheLogin: Readonly<Record<string, Broken>> = {
  "of logins with a browser": { login: "browser", authentication: { oidc: breaks } },
  "of the device flow": browser({ discover: answers(provider(true)), deviceFlow: breaks }),
  "of the authorization code flow": browser({
    discover: answers(provider(false)),
    authorizationCode: breaks,
  }),
  "that waits for a browser": browser({
    discover: answers(provider(false)),
    authorizationCode: authorizationCodeMachine.provide({
      actors: { prepareRequest: answers({}), awaitReturn: breaks, askForCode: answers(undefined) },
    }),
  }),
  "of Kerberos": { isForKerberos: true, authentication: { kerberos: breaks } },
  "that opens a session of Kerberos": kerberos({ openSession: breaks }),
  "that reads a name from a ticket": kerberos({
    openSession: answers({ proof: "password" }),
    getCredentials: answers({ proof: "password" }),
    proveKdc: answers(undefined),
    identify: breaks,
  }),
};

const backends: readonly BackendName[] = ["docker", "kubernetes", "process", "sshproxy"];
const afterTheLogin: Readonly<Record<string, Broken>> = {
  ...Object.fromEntries(
    backends.map((backend) => [
      `of the backend ${backend}`,
      {
        backend,
        connection: { provisioning: provisioningMachine.provide({ actors: { [backend]: breaks } }) },
      } as Broken,
    ]),
  ),
  "that looks at the host": {
    connection: {
      provisioning: provisioningMachine.provide({
        actors: { process: processMachine.provide({ actors: { inspectHost: breaks } }) },
      }),
    },
  },
  "of provisioning": { connection: { provisioning: breaks } },
};

describe("an actor that breaks", () => {
  it.each(Object.entries({ ...beforeTheLogin, ...afterTheLogin }))(
    "%s ends the connection, and the log and the user are told once",
    async (_, broken) => {
      const { logged, said } = await run(broken);
      const errors = logged.filter(({ level }) => level === "error");
      expect(errors).toMatchObject([{ code: "UNKNOWN_ERROR", message: "Error: a bug" }]);
      expect(said).toEqual(["An internal error ended this connection. Please try again later."]);
      expect(logged.at(-1)?.code).toBe("SSH_DISCONNECTED");
    },
  );

  it.each(Object.entries(beforeTheLogin))("%s lets nobody in", async (_, broken) => {
    const { answered, logged } = await run(broken);
    expect(answered).not.toContain("success");
    expect(logged.map(({ code }) => code)).not.toContain("SSH_HANDSHAKE_SUCCESSFUL");
  });
});
