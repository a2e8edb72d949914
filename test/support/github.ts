/**
 * A look-alike of GitHub with the endpoints that its documentation names for OAuth apps: errors of the token endpoint
 * come with status 200, scopes with commas between them.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export const GITHUB_CLIENT_ID = "Iv1.berth";
export const GITHUB_CLIENT_SECRET = "secret-of-the-github-app";

/** What the look-alike says and does; a test may change it at any time. */
export interface GitHubBehaviour {
  login: string;
  twoFactor: boolean | undefined;
  /** `active`, `pending`, or undefined for somebody who is no member. */
  membership: string | undefined;
  /** Undefined is what was asked for. */
  scopes: readonly string[] | undefined;
  /** What the device endpoint answers in place of a code. */
  deviceError: string | undefined;
  /** What polling answers until it is taken away. */
  pollError: { readonly error: string; readonly interval?: number } | undefined;
  userStatus: number;
  /** Whether the token endpoint refuses everybody and repeats what it was asked. */
  echoes: boolean;
  /** Where the API is: `/api/v3` of GitHub Enterprise. */
  apiPath: string;
  /** Where browsers are sent back to, as the app is registered. */
  callback: string;
}

export interface GitHub extends AsyncDisposable {
  readonly url: string;
  readonly behaviour: GitHubBehaviour;
  readonly deleted: readonly string[];
  readonly tokens: readonly string[];
  /** Codes that were given. */
  readonly codes: readonly string[];
  /** Paths that were asked, in order. */
  readonly asked: readonly string[];
}

export const startGitHub = async (changes: Partial<GitHubBehaviour> = {}): Promise<GitHub> => {
  const behaviour: GitHubBehaviour = {
    login: "jane",
    twoFactor: undefined,
    membership: undefined,
    scopes: undefined,
    deviceError: undefined,
    pollError: undefined,
    userStatus: 200,
    echoes: false,
    apiPath: "",
    callback: "",
    ...changes,
  };
  const deleted: string[] = [];
  const tokens: string[] = [];
  const asked: string[] = [];
  const issued: string[] = [];
  const codes = new Map<string, { readonly scope: string; readonly challenge: string | null }>();
  const remember = (code: string, scope: string | null, challenge: string | null) => {
    issued.push(code);
    codes.set(code, { scope: scope ?? "", challenge });
  };
  const basic = `Basic ${Buffer.from(`${GITHUB_CLIENT_ID}:${GITHUB_CLIENT_SECRET}`).toString("base64")}`;

  const issue = (scope: string) => {
    const token = `gho_${randomBytes(18).toString("hex")}`;
    tokens.push(token);
    const granted = behaviour.scopes ?? scope.split(" ");
    return { access_token: token, token_type: "bearer", scope: granted.join(",") };
  };

  const answer = (request: IncomingMessage, url: URL, body: string): [number, unknown, string?] => {
    const form = new URLSearchParams(body);
    const bearer = request.headers.authorization?.replace(/^Bearer /, "") ?? "";
    const isUser = tokens.includes(bearer) && !deleted.includes(bearer);
    const isLogin = url.pathname.startsWith("/login/");
    if (!isLogin && !url.pathname.startsWith(`${behaviour.apiPath}/`)) return [404, { message: "Not Found" }];
    switch (`${request.method} ${isLogin ? url.pathname : url.pathname.slice(behaviour.apiPath.length)}`) {
      case "POST /login/device/code": {
        if (behaviour.deviceError !== undefined) return [200, { error: behaviour.deviceError }];
        const code = randomBytes(20).toString("hex");
        remember(code, form.get("scope"), null);
        return [
          200,
          {
            device_code: code,
            user_code: "WDJB-MJHT",
            verification_uri: `${url.origin}/login/device`,
            expires_in: 900,
            interval: 0.05,
          },
        ];
      }
      case "GET /login/oauth/authorize": {
        const code = randomBytes(10).toString("hex");
        const { searchParams } = url;
        remember(code, searchParams.get("scope"), searchParams.get("code_challenge"));
        const back = new URL(behaviour.callback);
        back.search = new URLSearchParams({ code, state: searchParams.get("state") ?? "" }).toString();
        return [302, {}, back.href];
      }
      case "POST /login/oauth/access_token": {
        if (behaviour.echoes) return [200, { error: "bad_verification_code", error_description: body }];
        if (form.get("client_id") !== GITHUB_CLIENT_ID || form.get("client_secret") !== GITHUB_CLIENT_SECRET)
          return [200, { error: "incorrect_client_credentials" }];
        if (form.has("redirect_uri")) return [200, { error: "redirect_uri_mismatch" }];
        const key = form.get("device_code") ?? form.get("code") ?? "";
        const known = codes.get(key);
        if (known === undefined) return [200, { error: "bad_verification_code" }];
        if (form.has("device_code") && behaviour.pollError !== undefined) return [200, behaviour.pollError];
        if (known.challenge !== null && !form.has("code_verifier")) return [200, { error: "invalid_grant" }];
        codes.delete(key);
        return [200, issue(known.scope)];
      }
      case "GET /user":
        if (!isUser) return [401, { message: "Bad credentials" }];
        return [
          behaviour.userStatus,
          {
            login: behaviour.login,
            id: 583231,
            node_id: "MDQ6VXNlcjU4MzIzMQ==",
            name: "Jane of the tests",
            email: null,
            company: "Example",
            avatar_url: "https://avatars.example.com/u/583231",
            two_factor_authentication: behaviour.twoFactor,
          },
        ];
      case "GET /user/memberships/orgs/example":
        return isUser && behaviour.membership !== undefined
          ? [200, { state: behaviour.membership, role: "member" }]
          : [404, { message: "Not Found" }];
      case `DELETE /applications/${GITHUB_CLIENT_ID}/token`:
        if (request.headers.authorization !== basic) return [401, { message: "Bad credentials" }];
        deleted.push(String(JSON.parse(body).access_token));
        return [204, undefined];
      default:
        return [404, { message: "Not Found" }];
    }
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "/", `http://${request.headers.host}`);
    asked.push(url.pathname);
    const [status, body, location] = answer(request, url, await text(request));
    response.writeHead(status, {
      "content-type": "application/json; charset=utf-8",
      ...(location !== undefined && { location }),
    });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    behaviour,
    deleted,
    tokens,
    codes: issued,
    asked,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};
