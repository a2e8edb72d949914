/**
 * The webhooks of a daemon, real servers that answer for each user as that user's walk says: who may log in with a
 * password or a key, who may come in, and what each gets.
 */
import { type Asked, answer, type Behaviour, byPath, openWebhookServer } from "../webhook-server.ts";

/** What the webhooks answer for one user; what a walk doesn't change is a yes. */
export interface Answers {
  password: Behaviour;
  publicKey: Behaviour;
  authorization: Behaviour;
  configuration: Behaviour;
}

export interface Portal extends AsyncDisposable {
  readonly url: string;
  /** A new user, to be told apart from all others, with answers to be changed. */
  readonly user: () => { readonly username: string; readonly answers: Answers };
  /** The paths that were asked about a user, in order. */
  readonly asked: (username: string) => readonly (string | undefined)[];
}

export const openPortal = async (): Promise<Portal> => {
  const users = new Map<string, Answers>();
  const of =
    (question: keyof Answers): Behaviour =>
    (response, asked, count) => {
      const { [question]: behave = answer({ error: "nobody knows this user" }, 404) } =
        users.get(usernameIn(asked)) ?? {};
      behave(response, asked, count);
    };
  const server = await openWebhookServer(
    byPath({
      "/password": of("password"),
      "/pubkey": of("publicKey"),
      "/authz": of("authorization"),
      "/config": of("configuration"),
    }),
  );
  return {
    url: server.url,
    user: () => {
      const username = `walker-${users.size + 1}`;
      const answers: Answers = {
        password: answer({ success: true }),
        publicKey: answer({ success: true }),
        authorization: answer({ success: true }),
        configuration: answer({ config: {} }),
      };
      users.set(username, answers);
      return { username, answers };
    },
    asked: (username) =>
      server.asked.filter((asked) => usernameIn(asked) === username).map(({ path }) => path),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
};

/** Behaves in one way the first time it is asked, and in another after that. */
export const firstThen = (first: Behaviour, then: Behaviour): Behaviour => {
  let behave = first;
  return (...exchange) => {
    const now = behave;
    behave = then;
    now(...exchange);
  };
};

const usernameIn = ({ body }: Asked): string => String((body as { readonly username?: unknown }).username);

/** The sections of a configuration that ask a portal everything. */
export const askingPortal = ({ url }: Portal) => {
  const method = { method: "webhook", webhook: { url, authTimeout: "10s" } };
  return {
    auth: { password: method, publicKey: method, authz: method },
    configserver: { url: `${url}/config` },
  };
};
