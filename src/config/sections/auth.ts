/**
 * The `auth` section (documentation of the reference: Authentication, Webhook authentication), and Berth's own
 * `users`: people who log in without an authentication server.
 *
 * @example
 * auth:
 *   password: { method: users }
 *   publicKey: { method: users }
 *   users:
 *     - name: jane
 *       passwordHash: "$scrypt$…"            # berth hash-password
 *       authorizedKeys: ["ssh-ed25519 AAAA… jane@laptop"]
 */
import { Schema } from "effect";
import { defaulted, GoDuration, GoDurationOrZero, oneOf, Secret, section } from "../codecs.ts";
import { httpClientFields } from "../http.ts";
import { Kerberos } from "./kerberos.ts";
import { OAuth2 } from "./oauth2.ts";

/** `authTimeout`: how long answers other than 200 are retried. */
export const AuthWebhook = Schema.Struct({
  ...httpClientFields,
  authTimeout: defaulted(GoDuration, "60s"),
});

export type AuthWebhook = typeof AuthWebhook.Type;

/**
 * A user of Berth's own. Without `passwordHash` there is no password that lets them in.
 * `authorizedKeys` are lines of OpenSSH's format: type, key, comment.
 */
export const User = Schema.Struct({
  name: Schema.NonEmptyString,
  passwordHash: Schema.optionalKey(Secret),
  authorizedKeys: defaulted(Schema.Array(Schema.String), []),
});

export type User = typeof User.Type;

/** An empty `method` is the method of SSH authentication switched off: it is not offered to clients. */
const Password = Schema.Struct({
  method: defaulted(oneOf(["", "webhook", "kerberos", "users"]), ""),
  webhook: section(AuthWebhook),
  kerberos: section(Kerberos),
});

const PublicKey = Schema.Struct({
  method: defaulted(oneOf(["", "webhook", "users"]), ""),
  webhook: section(AuthWebhook),
});

/** `loginGraceTime`: how long a login with a browser may take, where `ssh.loginGraceTime` is for all others; 0 for ever. */
export const KeyboardInteractive = Schema.Struct({
  method: defaulted(oneOf(["", "oauth2"]), ""),
  oauth2: section(OAuth2),
  loginGraceTime: defaulted(GoDurationOrZero, "5m"),
});

export type KeyboardInteractive = typeof KeyboardInteractive.Type;

const Gssapi = Schema.Struct({
  method: defaulted(oneOf(["", "kerberos"]), ""),
  kerberos: section(Kerberos),
});

/** Without a method every authenticated user is authorized. */
const Authorization = Schema.Struct({
  method: defaulted(oneOf(["", "webhook"]), ""),
  webhook: section(AuthWebhook),
});

export const Auth = Schema.Struct({
  password: section(Password),
  publicKey: section(PublicKey),
  keyboardInteractive: section(KeyboardInteractive),
  gssapi: section(Gssapi),
  authz: section(Authorization),
  users: defaulted(Schema.Array(User), []),
});

export type Auth = typeof Auth.Type;
