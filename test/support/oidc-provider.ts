/**
 * A real OpenID Connect provider in the test's own process, with a page on which its user grants all, some or none of
 * the scopes; and a proxy before it that shows what it is asked and can change what it answers.
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import {
  request as ask,
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import Provider, { type Configuration, type KoaContextWithOIDC } from "oidc-provider";
import { type Page, Surfer } from "./surfer.ts";

export const CLIENT_ID = "berth";
export const CLIENT_SECRET = "secret-of-the-oidc-client";

export interface ProviderOptions {
  /** Where browsers may be sent back to. */
  readonly redirectUri?: string;
  readonly deviceFlow?: boolean;
  /** How long a device code is valid; default 600. */
  readonly deviceCodeSeconds?: number;
  /** What the provider says about its users besides `sub`, `name` and `email`; undefined takes a field away. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly configuration?: Configuration;
}

/** A request to the provider. */
export interface ProviderRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: URLSearchParams;
  /** When the one who asked is gone before there was an answer. */
  readonly abandoned: Promise<void>;
}

export interface ProviderAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Gives another answer; asking `original` for the provider's own is its choice. */
export type Change = (
  request: ProviderRequest,
  original: () => Promise<ProviderAnswer>,
) => Promise<ProviderAnswer>;

export interface OidcProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Every request of the daemon's side, in order: discovery, keys, tokens, user info. */
  readonly requests: readonly ProviderRequest[];
  /** Resolves with the first request to a path that this was not called for before. */
  readonly nextRequest: (path: string) => Promise<ProviderRequest>;
  /** Changes what a path answers; undefined stops it. */
  readonly change: (path: string, change: Change | undefined) => void;
  /** Changes fields of what a path answers in JSON. */
  readonly amend: (path: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Signs an ID token with the provider's key, or another. */
  readonly signIdToken: (claims: Readonly<Record<string, unknown>>, key?: KeyObject) => string;
  /** Tokens that were revoked. */
  readonly revoked: readonly string[];
  /** Every code and token that was given or taken, to look for where none may be. */
  readonly secrets: ReadonlySet<string>;
}

const SECRETS = ["access_token", "id_token", "device_code", "user_code", "code", "code_verifier"];

/** What of an exchange nobody else may know. */
const secretsOf = ({ body }: ProviderRequest, answer: ProviderAnswer): readonly string[] => {
  const { location = "http://127.0.0.1/" } = answer.headers;
  const sentBack = new URL(location, "http://127.0.0.1/").searchParams;
  const isJson = answer.headers["content-type"]?.startsWith("application/json") === true;
  const given = isJson ? (JSON.parse(answer.body) ?? {}) : {};
  return SECRETS.flatMap((name) => [body.get(name), sentBack.get(name), given[name]]).filter(
    (value) => typeof value === "string" && value !== "",
  );
};

/** A refusal that repeats what it was asked, as careless servers do. */
export const echo: Change = async ({ headers, body }) =>
  json(
    {
      error: "invalid_grant",
      error_description: `${headers.authorization} sent ${body} (${[...body.values()]})`,
    },
    400,
  );

export const json = (body: unknown, status = 200): ProviderAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

const KEY_ID = "test-key";

export const startOidcProvider = async (options: ProviderOptions = {}): Promise<OidcProvider> => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const inner = createServer();
  const outer = createServer();
  await Promise.all([listening(inner), listening(outer)]);
  const issuer = urlOf(outer);
  const provider = new Provider(issuer, configurationOf(options, privateKey));
  const handle = provider.callback();
  inner.on("request", (request, response) => void interact(provider, request, response, handle));

  const requests: ProviderRequest[] = [];
  const changes = new Map<string, Change>();
  const revoked: string[] = [];
  const secrets = new Set<string>();
  const taken = new Set<ProviderRequest>();
  const watchers = new Set<() => void>();

  const answered = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(incoming);
    const path = new URL(incoming.url ?? "/", issuer).pathname;
    const abandoned = once(response, "close").then(() =>
      response.writableFinished ? new Promise<void>(() => {}) : undefined,
    );
    const { method = "GET", headers } = incoming;
    const request: ProviderRequest = { method, path, headers, body: new URLSearchParams(body), abandoned };
    const original = () => forward(inner, incoming, body);
    requests.push(request);
    if (path === "/token/revocation") revoked.push(request.body.get("token") ?? "");
    for (const watcher of [...watchers]) watcher();
    const change = changes.get(path);
    const answer = change === undefined ? await original() : await change(request, original);
    for (const secret of secretsOf(request, answer)) secrets.add(secret);
    if (!response.destroyed) response.writeHead(answer.status, answer.headers).end(answer.body);
  };
  // A client that leaves in the middle of its request, or a test that ends in the middle of an answer.
  outer.on(
    "request",
    (incoming, response) => void answered(incoming, response).catch(() => response.destroy()),
  );

  return {
    issuer,
    requests,
    revoked,
    secrets,
    nextRequest: (path) =>
      new Promise((resolve) => {
        const look = () => {
          const found = requests.find((request) => request.path === path && !taken.has(request));
          if (found === undefined) return;
          watchers.delete(look);
          taken.add(found);
          resolve(found);
        };
        watchers.add(look);
        look();
      }),
    change: (path, change) => void (change === undefined ? changes.delete(path) : changes.set(path, change)),
    amend: (path, fields) => {
      changes.set(path, async (_, original) => {
        const answer = await original();
        return answer.status === 200 ? json({ ...JSON.parse(answer.body), ...fields }) : answer;
      });
    },
    signIdToken: (claims, key = privateKey) => signed(claims, key),
    [Symbol.asyncDispose]: async () => {
      for (const server of [inner, outer]) {
        const closed = once(server, "close");
        server.close();
        server.closeAllConnections();
        await closed;
      }
    },
  };
};

const listening = async (server: Server): Promise<void> => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
};

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const signed = (claims: Readonly<Record<string, unknown>>, key: KeyObject): string => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const content = `${part({ alg: "RS256", typ: "JWT", kid: KEY_ID })}.${part(claims)}`;
  return `${content}.${sign("RSA-SHA256", Buffer.from(content), key).toString("base64url")}`;
};

/** The claims of an ID token, to change some of them. */
export const claimsOf = (idToken: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(idToken.split(".")[1] ?? "", "base64url").toString());

const configurationOf = (options: ProviderOptions, privateKey: KeyObject): Configuration => ({
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [options.redirectUri ?? "http://127.0.0.1:1/"],
      response_types: ["code"],
      grant_types: ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: KEY_ID, alg: "RS256", use: "sig" }] },
  scopes: ["openid", "profile", "email", "groups"],
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username", "birthdate"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  cookies: { keys: ["a key for cookies of tests"] },
  pkce: { required: () => true },
  findAccount: (_, sub) => ({
    accountId: sub,
    claims: () => ({
      sub,
      name: `${sub} of the tests`,
      preferred_username: sub,
      email: `${sub}@example.com`,
      email_verified: true,
      groups: ["staff", "admins"],
      ...options.claims,
    }),
  }),
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    deviceFlow: {
      enabled: options.deviceFlow ?? true,
      userCodeInputSource: (context, form) =>
        show(context, "Enter the code", `${form}${submitButton("op.deviceInputForm", "Continue")}`),
      userCodeConfirmSource: (context, form, _client, _info, code) =>
        show(
          context,
          `Is this your code? ${code}`,
          `${form}${submitButton("op.deviceConfirmForm", "Yes")}<button form="op.deviceConfirmForm" name="abort" value="yes">No</button>`,
        ),
      successSource: (context) => show(context, "The device is logged in", ""),
    },
  },
  ttl: {
    DeviceCode: options.deviceCodeSeconds ?? 600,
    AccessToken: 600,
    IdToken: 600,
    Grant: 600,
    Interaction: 600,
    Session: 600,
  },
  renderError: (context, { error, error_description: description }) => {
    show(context, "Error", `<p id="error">${error}: ${description ?? ""}</p>`);
  },
  ...options.configuration,
});

const submitButton = (form: string, label: string): string => `<button form="${form}">${label}</button>`;

const pageOf = (title: string, content: string): string =>
  `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${content}</html>`;

const show = (context: KoaContextWithOIDC, title: string, content: string): void => {
  context.type = "html";
  context.body = pageOf(title, content);
};

/** The page on which a user says who they are and what they grant. */
const interact = async (
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
  otherwise: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<void> => {
  if (!request.url?.startsWith("/interaction/")) return otherwise(request, response);
  try {
    const { params, uid } = await provider.interactionDetails(request, response);
    const scopes = String(params.scope ?? "")
      .split(" ")
      .filter((scope) => scope !== "");
    if (request.method === "GET") {
      const boxes = scopes.map(
        (scope) => `<label><input type="checkbox" name="scope" value="${scope}" checked>${scope}</label>`,
      );
      response.writeHead(200, { "content-type": "text/html" }).end(
        pageOf(
          "Log in",
          `<form method="post" action="/interaction/${uid}"><label>Name <input name="login" value="jane"></label>
${boxes.join("")}<button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button></form>`,
        ),
      );
      return;
    }
    const form = new URLSearchParams(await text(request));
    if (form.get("answer") !== "allow") {
      const denial = { error: "access_denied", error_description: "the user said no" };
      return await provider.interactionFinished(request, response, denial);
    }
    const accountId = form.get("login") ?? "jane";
    const grant = new provider.Grant({ accountId, clientId: String(params.client_id) });
    const granted = form.getAll("scope");
    grant.addOIDCScope(granted.join(" "));
    grant.rejectOIDCScope(scopes.filter((scope) => !granted.includes(scope)).join(" "));
    const grantId = await grant.save();
    await provider.interactionFinished(request, response, { login: { accountId }, consent: { grantId } });
  } catch (error) {
    response.writeHead(500, { "content-type": "text/plain" }).end(String(error));
  }
};

const forward = async (inner: Server, incoming: IncomingMessage, body: string): Promise<ProviderAnswer> => {
  const { method = "GET", url = "/", headers } = incoming;
  const { port } = inner.address() as AddressInfo;
  const onward = ask({ host: "127.0.0.1", port, method, path: url, headers });
  onward.end(body);
  const [answer] = (await once(onward, "response")) as [IncomingMessage];
  const entries = Object.entries(answer.headers).filter(
    ([name]) => name !== "transfer-encoding" && name !== "content-length",
  );
  return {
    status: answer.statusCode ?? 500,
    headers: Object.fromEntries(entries) as Record<string, string>,
    body: await text(answer),
  };
};

/** What a user does in the browser. */
export interface UserChoice {
  readonly login?: string;
  /** The scopes that are left ticked; undefined is all. */
  readonly grants?: readonly string[];
  readonly denies?: boolean;
}

/** Logs in at the provider and grants what the choice says, from its link to where the provider sends the browser. */
export const followLink = async (link: string, choice: UserChoice = {}): Promise<Page> => {
  const surfer = new Surfer();
  return consent(surfer, await surfer.open(link), choice);
};

/** Opens the link of the device flow, with the code in it or typed, and approves the login. */
export const approveDevice = async (
  link: string,
  userCode: string,
  choice: UserChoice = {},
): Promise<Page> => {
  const surfer = new Surfer();
  const first = await surfer.open(link);
  const confirmation = await surfer.submit(first, link.includes("user_code=") ? {} : { user_code: userCode });
  if (!confirmation.html.includes(userCode)) throw new Error(`another code is shown:\n${confirmation.html}`);
  return consent(surfer, await surfer.submit(confirmation), choice);
};

const consent = (
  surfer: Surfer,
  page: Page,
  { login = "jane", grants, denies = false }: UserChoice,
): Promise<Page> => {
  const offered = [...page.html.matchAll(/name="scope" value="([^"]+)"/g)].map(([, scope]) => scope ?? "");
  return surfer.submit(page, { login, scope: grants ?? offered, answer: denies ? "deny" : "allow" });
};
