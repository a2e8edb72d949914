/**
 * What the server for trying webhooks says: the behaviour of ContainerSSH's test authentication and configuration
 * server, in which `foo` and `busybox` may log in and `busybox` gets a container of that image.
 */
import { Effect, Schema } from "effect";
import { AuthAnswer, AuthorizationRequest, PasswordRequest, PublicKeyRequest } from "../auth/protocol.ts";
import { ConfigAnswer, ConfigRequest } from "../configserver/protocol.ts";
import { noAdditions, withoutSensitive } from "../metadata.ts";

export interface Exchange {
  /** The request as it may be shown: without the password and without what is marked sensitive. */
  readonly shown: unknown;
  /** The answer's JSON. */
  readonly answer: unknown;
}

/** An endpoint: reads a request's JSON, answers it. */
export type Endpoint = (body: unknown) => Effect.Effect<Exchange, Schema.SchemaError>;

/** The endpoints by path. With `allowAll` every user's password is accepted. */
export const endpoints = (allowAll: boolean): ReadonlyMap<string, Endpoint> =>
  new Map<string, Endpoint>([
    [
      "/password",
      Effect.fnUntraced(function* (body) {
        const { password: _, ...shown } = yield* read(PasswordRequest)(body);
        return { shown, answer: yield* verdict(shown.username, allowAll || isKnown(shown.username)) };
      }),
    ],
    [
      "/pubkey",
      Effect.fnUntraced(function* (body) {
        const shown = yield* read(PublicKeyRequest)(body);
        return { shown, answer: yield* verdict(shown.username, isKnown(shown.username)) };
      }),
    ],
    [
      "/authz",
      Effect.fnUntraced(function* (body) {
        const identity = yield* read(AuthorizationRequest)(body);
        const shown = yield* write(AuthorizationRequest)(withoutSensitive(identity));
        return { shown, answer: yield* verdict(identity.username, true) };
      }),
    ],
    [
      "/config",
      Effect.fnUntraced(function* (body) {
        const identity = yield* read(ConfigRequest)(body);
        const shown = yield* write(ConfigRequest)(withoutSensitive(identity));
        const config = identity.username === "busybox" ? busybox : {};
        return {
          shown,
          answer: yield* write(ConfigAnswer)({ config, authenticatedUsername: "", ...noAdditions }),
        };
      }),
    ],
  ]);

/** Servers ignore fields they don't know, so that they go on working with newer clients. */
const read = <S extends Schema.ConstraintDecoder<unknown>>(schema: S) => Schema.decodeUnknownEffect(schema);

const write = <S extends Schema.ConstraintEncoder<unknown>>(schema: S) => Schema.encodeEffect(schema);

const isKnown = (username: string) => username === "foo" || username === "busybox";

const verdict = (username: string, success: boolean) =>
  write(AuthAnswer)({ success, authenticatedUsername: success ? username : "", ...noAdditions });

const busybox = {
  docker: {
    execution: {
      container: { image: "busybox" },
      disableAgent: true,
      mode: "session",
      shellCommand: ["/bin/sh"],
    },
  },
};
