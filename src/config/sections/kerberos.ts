/**
 * The `kerberos` section of a way to log in (documentation of the reference: Kerberos authentication).
 *
 * @example
 * auth:
 *   gssapi:
 *     method: kerberos
 *     kerberos:
 *       keytab: /etc/berth/krb5.keytab
 *       configPath: /etc/krb5.conf
 */
import { Schema } from "effect";
import { defaulted, Flag, GoDuration } from "../codecs.ts";

/**
 * - `keytab`: the file with the keys of this service.
 * - `acceptor`: whose of these keys is used: `any`, `host` (that is `host/` and the name of this machine), or a
 *   principal such as `host/ssh.example.com`.
 * - `configPath`: the Kerberos configuration, a `krb5.conf` with a `default_realm`.
 * - `enforceUsername`: the SSH user name must be the principal's.
 * - `credentialCachePath`: where the user's environment gets the credentials that were forwarded.
 * - `clockSkew`: how far clocks may be apart, and for how long replayed messages are remembered.
 */
export const Kerberos = Schema.Struct({
  keytab: defaulted(Schema.String, "/etc/krb5.keytab"),
  acceptor: defaulted(Schema.String, "any"),
  configPath: defaulted(Schema.String, "/etc/krb5.conf"),
  enforceUsername: defaulted(Flag, true),
  credentialCachePath: defaulted(Schema.String, "/tmp/krb5cc"),
  clockSkew: defaulted(GoDuration, "5m"),
});

export type Kerberos = typeof Kerberos.Type;
