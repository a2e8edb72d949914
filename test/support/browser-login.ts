/**
 * Logins with a browser without the rest of the daemon: the machine, the source and the redirect server, with an SSH
 * client in place of which a test answers.
 */
import { Effect, Exit, Redacted, Schema, Scope } from "effect";
import { createActor } from "xstate";
import type { OidcOutcome } from "../../machines/oidc.ts";
import { browserLoginWith } from "../../src/auth/oauth2/actors.ts";
import { browserLogins } from "../../src/auth/oauth2/configured.ts";
import { OAuth2 } from "../../src/config/sections/oauth2.ts";
import type { Questions } from "../../src/ssh/credentials.ts";
import { type MemoryLog, memoryLogger } from "./memory-logger.ts";
import { freePort } from "./ports.ts";

export interface LoginDesk extends AsyncDisposable {
  readonly log: MemoryLog;
  readonly begin: (as?: { readonly username?: string; readonly clientVersion?: string }) => Login;
}

/** One login of an SSH client. */
export interface Login {
  /** What the user is asked next; answering it is the test's. */
  readonly asked: () => Promise<Asked>;
  /** The next text that is shown outside of a question. */
  readonly banner: () => Promise<string>;
  readonly outcome: Promise<OidcOutcome>;
  /** The states of the machine and of those it invokes, in the order in which they were entered. */
  readonly states: readonly string[];
  /** Everything that an inspector would see, as JSON. */
  readonly inspected: () => string;
  /** The client gives up. */
  readonly abandon: () => void;
  /** The connection ends: what belongs to it is given back. */
  readonly end: () => Promise<void>;
}

export interface Asked extends Questions {
  readonly answer: (...answers: readonly string[]) => void;
}

/** A redirect URI at a free port, for the options of a desk and of its provider. */
export const freeRedirect = async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  return { listen, redirectURI: `http://${listen}/` };
};

/** @param options as a configuration holds them under `oauth2`. */
export const openLoginDesk = async (options: Readonly<Record<string, unknown>>): Promise<LoginDesk> => {
  const log = memoryLogger();
  const scope = Scope.makeUnsafe();
  const decoded = Schema.decodeUnknownSync(OAuth2)(options);
  const inScope = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
    Effect.runPromise(Scope.provide(effect, scope));
  const logins = await inScope(browserLogins(decoded, log.logger));
  if (logins.redirect !== undefined) await inScope(logins.redirect);
  const open = new Set<Login>();
  let count = 0;
  return {
    log,
    begin: ({ username = "jane", clientVersion = "SSH-2.0-OpenSSH_9.2" } = {}) => {
      const connection = Scope.makeUnsafe();
      const banners = queue<string>();
      const questions = queue<Asked>();
      const machine = browserLoginWith(logins, () => ({
        remoteAddress: "127.0.0.1:1",
        clientVersion,
        logger: log.logger,
        scope: connection,
        showBanner: banners.put,
      }));
      const states: string[] = [];
      const inspected: string[] = [];
      const actor = createActor(machine, {
        input: {
          connectionId: `c${++count}`,
          username,
          credential: {
            method: "keyboard-interactive",
            ask: (asked) =>
              new Promise((resolve) => {
                const answer = (...answers: readonly string[]) =>
                  resolve(answers.map((text) => Redacted.make(text)));
                // An SSH client answers at once where there is nothing to ask.
                if (asked.prompts.length === 0) answer();
                questions.put({ ...asked, answer });
              }),
          },
        },
        inspect: (event) => {
          inspected.push(JSON.stringify(event, (key, value) => (isActor(key, value) ? undefined : value)));
          if (event.type !== "@xstate.snapshot" || !("value" in event.snapshot)) return;
          const state = `${idOf(event.actorRef)}: ${JSON.stringify(event.snapshot.value)}`;
          if (states.at(-1) !== state) states.push(state);
        },
      });
      const outcome = new Promise<OidcOutcome>((resolve, reject) => {
        actor.subscribe({
          error: reject,
          next: (snapshot) => {
            if (snapshot.status === "done" && snapshot.output !== undefined) resolve(snapshot.output);
          },
        });
      });
      actor.start();
      const login: Login = {
        asked: questions.take,
        banner: banners.take,
        outcome,
        states,
        inspected: () => inspected.join("\n"),
        abandon: () => actor.stop(),
        end: async () => {
          actor.stop();
          await Effect.runPromise(Scope.close(connection, Exit.void));
        },
      };
      open.add(login);
      return login;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...open].map((login) => login.end()));
      await Effect.runPromise(Scope.close(scope, Exit.void));
    },
  };
};

const isActor = (key: string, value: unknown): boolean =>
  key === "rootId" || (typeof value === "object" && value !== null && "sessionId" in value);

const idOf = (actor: object): string =>
  "src" in actor && typeof actor.src === "string" ? actor.src : "oidc";

const queue = <A>() => {
  const waiting: ((value: A) => void)[] = [];
  const values: A[] = [];
  return {
    put: (value: A): void => {
      const taker = waiting.shift();
      if (taker === undefined) values.push(value);
      else taker(value);
    },
    take: (): Promise<A> =>
      new Promise((resolve) => {
        const [value] = values.splice(0, 1);
        if (value === undefined) waiting.push(resolve);
        else resolve(value);
      }),
  };
};

/** The address in what a user is shown. */
export const linkIn = ({ instruction }: Pick<Questions, "instruction">): string => {
  const link = /https?:\/\/\S+/.exec(instruction)?.[0];
  if (link === undefined) throw new Error(`there is no link in ${JSON.stringify(instruction)}`);
  return link;
};

/** The code of the device flow in what a user is shown. */
export const userCodeIn = ({ instruction }: Pick<Questions, "instruction">): string => {
  const code = /code: (\S+)/.exec(instruction)?.[1];
  if (code === undefined) throw new Error(`there is no code in ${JSON.stringify(instruction)}`);
  return code;
};

/** The code on a page of the redirect server. */
export const codeOn = (html: string): string => {
  const code = /<code[^>]*>([^<]+)<\/code>/.exec(html)?.[1];
  if (code === undefined) throw new Error(`there is no code on the page:\n${html}`);
  return code;
};
