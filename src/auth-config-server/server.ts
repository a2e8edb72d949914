/**
 * A server to try webhooks with (`berth auth-config-server`). It lets people in without looking at their password,
 * so it is for trying only.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Effect, type Scope } from "effect";
import { formatListenAddress, type ListenAddress } from "../config/codecs.ts";
import { failure } from "../failure.ts";
import { escapeText } from "../log/escape.ts";
import { type Endpoint, endpoints } from "./answers.ts";

/** The address is taken, or not one of this machine. */
export class AuthConfigServerListenFailed extends failure(
  "AuthConfigServerListenFailed",
  "HTTP_LISTEN_FAILED",
  "The server can't listen on its address.",
) {}

export interface AuthConfigServerOptions {
  readonly listen: ListenAddress;
  /** Accept every user's password; the reference's environment variable CONTAINERSSH_ALLOW_ALL=1. */
  readonly allowAll: boolean;
  readonly io: {
    /** Shows a line: what was asked and answered, without passwords and sensitive values. */
    readonly print: (line: string) => void;
  };
}

/** Serves until the scope closes, and succeeds with the URL once it listens. */
export const runAuthConfigServer = ({
  listen,
  allowAll,
  io,
}: AuthConfigServerOptions): Effect.Effect<string, AuthConfigServerListenFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const known = endpoints(allowAll);
    const server = createServer((request, response) => {
      Effect.runFork(exchange(known, request, response, io.print));
    });
    yield* Effect.acquireRelease(listening(server, listen), () => closed(server));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : listen.port;
    const url = `http://${formatListenAddress({ host: listen.host || "localhost", port })}`;
    io.print(`The authentication and configuration server for trials listens on ${url}`);
    io.print(`  auth.password.webhook.url, auth.publicKey.webhook.url, auth.authz.webhook.url: ${url}`);
    io.print(`  configserver.url: ${url}/config`);
    return url;
  });

const listening = (server: Server, { host, port }: ListenAddress) =>
  Effect.callback<void, AuthConfigServerListenFailed>((resume) => {
    server.once("error", (error) =>
      resume(
        Effect.fail(
          new AuthConfigServerListenFailed({
            message: `Can't listen on ${formatListenAddress({ host, port })}: ${error.message}`,
            cause: error,
          }),
        ),
      ),
    );
    server.listen({ port, ...(host !== "" && { host }) }, () => resume(Effect.void));
  });

const closed = (server: Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void));
    server.closeAllConnections();
  });

const bodyLimitBytes = 1024 * 1024;

const exchange = (
  known: ReadonlyMap<string, Endpoint>,
  request: IncomingMessage,
  response: ServerResponse,
  print: (line: string) => void,
) =>
  Effect.gen(function* () {
    const [path = ""] = (request.url ?? "").split("?", 1);
    const { status, line, answer } = yield* answerTo(known.get(path), request);
    print(`${escapeText(path)} ${line}`);
    response.writeHead(status, {
      "content-type": "application/json",
      // What was not read of a request must not be taken for the next one.
      ...(!request.complete && { connection: "close" }),
    });
    response.end(JSON.stringify(answer));
  });

const answerTo = (endpoint: Endpoint | undefined, request: IncomingMessage) =>
  endpoint === undefined
    ? Effect.succeed({ status: 404, line: "is no endpoint of this server", answer: { error: "Not Found" } })
    : jsonOf(request).pipe(
        Effect.flatMap(endpoint),
        Effect.map(({ shown, answer }) => ({
          status: 200,
          line: `${escapeText(JSON.stringify(shown))} -> ${escapeText(JSON.stringify(answer))}`,
          answer,
        })),
        Effect.catch(({ message }) =>
          Effect.succeed({
            status: 400,
            line: `got a request that can't be read: ${escapeText(message)}`,
            answer: { error: "Bad Request" },
          }),
        ),
      );

/** Errors say nothing of what was read: it may hold a password. */
const jsonOf = (request: IncomingMessage): Effect.Effect<unknown, Error> =>
  Effect.tryPromise({
    try: async () => {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of request) {
        size += chunk.length;
        if (size > bodyLimitBytes) {
          throw new Error("too large");
        }
        chunks.push(chunk);
      }
      return JSON.parse(Buffer.concat(chunks).toString("utf8"));
    },
    catch: () => new Error(`not a JSON body of at most ${bodyLimitBytes} bytes`),
  });
