/** The `ssh` section (documentation of the reference: SSH configuration). */
import { Schema, SchemaGetter } from "effect";
import {
  defaulted,
  GoDuration,
  GoDurationOrZero,
  Listen,
  listOf,
  oneOf,
  parsed,
  SecretPem,
} from "../codecs.ts";

export const kexAlgorithms = [
  "mlkem768x25519-sha256",
  "curve25519-sha256@libssh.org",
  "ecdh-sha2-nistp521",
  "ecdh-sha2-nistp384",
  "ecdh-sha2-nistp256",
  "diffie-hellman-group14-sha1",
  "diffie-hellman-group1-sha1",
] as const;

export const macs = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha1", "hmac-sha1-96"] as const;

const ciphers = [
  "chacha20-poly1305@openssh.com",
  "aes256-gcm@openssh.com",
  "aes128-gcm@openssh.com",
  "aes256-ctr",
  "aes192-ctr",
  "aes128-ctr",
  "aes128-cbc",
  "arcfour256",
  "arcfour128",
  "arcfour",
  "tripledescbcID",
] as const;

/** How many connections may be unauthenticated at once, in the manner of OpenSSH's `MaxStartups`. */
export interface MaxStartups {
  /** From this many on, new connections are refused with the probability `ratePercent`, rising to 100 % at `full`. */
  readonly start: number;
  readonly ratePercent: number;
  readonly full: number;
}

const maxStartupsMessage = "expected start:rate:full such as 100:30:1000, or one number";

const parseMaxStartups = (text: string | number): MaxStartups | undefined => {
  const match = /^(\d+)(?::(\d+):(\d+))?$/.exec(String(text));
  if (match === null) {
    return undefined;
  }
  const start = Number(match[1]);
  const limits = { start, ratePercent: Number(match[2] ?? 100), full: Number(match[3] ?? start) };
  return start >= 1 && limits.full >= start && limits.ratePercent >= 1 && limits.ratePercent <= 100
    ? limits
    : undefined;
};

/** OpenSSH's `start:rate:full`, or one number that is both start and full. */
export const MaxStartups = Schema.Union([Schema.String, Schema.Finite])
  .annotate({ message: maxStartupsMessage })
  .pipe(
    Schema.decodeTo(
      Schema.Struct({ start: Schema.Finite, ratePercent: Schema.Finite, full: Schema.Finite }),
      {
        decode: parsed(parseMaxStartups, maxStartupsMessage),
        encode: SchemaGetter.transform(
          ({ start, ratePercent, full }): string | number => `${start}:${ratePercent}:${full}`,
        ),
      },
    ),
  );

export const defaultKex = kexAlgorithms.slice(0, 5);
export const defaultCiphers = ciphers.slice(0, 6);

/** As in the reference, and unlike the other lists, an empty list of ciphers means the default ones. */
export const cipherList = listOf(oneOf(ciphers)).pipe(
  Schema.decode({
    decode: SchemaGetter.transform((list) => (list.length === 0 ? defaultCiphers : list)),
    encode: SchemaGetter.passthrough(),
  }),
);

const identificationPattern = /^SSH-2\.0-[!-,.-~]+( [a-zA-Z0-9 _.-]+)?$/;

/** An identification string (RFC 4253 section 4.2), without CR and LF. */
export const Identification = Schema.String.check(
  Schema.makeFilter((version) =>
    version.length <= 253 && identificationPattern.test(version)
      ? undefined
      : "expected an SSH identification string such as SSH-2.0-Name, see RFC 4253 section 4.2",
  ),
);

/**
 * - `serverVersion`: the identification string (RFC 4253 section 4.2), without CR and LF, at most 253 characters.
 * - `kex`: the reference's, and Berth's own post-quantum `mlkem768x25519-sha256` in front of them.
 * - `hostkeys`: private keys as PEM text or paths of files.
 * - `clientAliveInterval`: how often a silent client is asked for a sign of life; 0 never.
 * - `clientAliveCountMax`: after how many unanswered questions it is disconnected.
 * - `loginGraceTime`: how long a client may take until it is authenticated; 0 for ever. Berth's own.
 * - `maxStartups`: how many clients may be unauthenticated at once. Berth's own.
 */
export const Ssh = Schema.Struct({
  listen: defaulted(Listen, "0.0.0.0:2222"),
  serverVersion: defaulted(Identification, "SSH-2.0-ContainerSSH"),
  ciphers: defaulted(cipherList, defaultCiphers),
  kex: defaulted(listOf(oneOf(kexAlgorithms)), defaultKex),
  macs: defaulted(listOf(oneOf(macs)), macs.slice(0, 2)),
  banner: defaulted(Schema.String, ""),
  hostkeys: defaulted(Schema.Array(SecretPem), []),
  clientAliveInterval: defaulted(GoDuration, "0s"),
  clientAliveCountMax: defaulted(Schema.Int, 3),
  loginGraceTime: defaulted(GoDurationOrZero, "60s"),
  maxStartups: defaulted(MaxStartups, "100:30:1000"),
});

export type Ssh = typeof Ssh.Type;
