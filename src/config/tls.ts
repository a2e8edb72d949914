/**
 * The TLS options that HTTP clients and servers share, and their names elsewhere: the reference takes cipher suites
 * by their IANA, OpenSSL and GnuTLS names; Node.js wants OpenSSL's.
 */
import { Effect, Schema, SchemaGetter } from "effect";
import { defaulted, listOf, oneOf, unacceptable } from "./codecs.ts";

/** IANA name, OpenSSL's name. TLS 1.3 suites have one name everywhere. */
const suites = [
  ["TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"],
  ["TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"],
  ["TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"],
  ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
] as const;

export type CipherSuite = (typeof suites)[number][0];

const gnuTlsName = (iana: string) => iana.replace("_WITH_", "_");

const suiteByName: ReadonlyMap<string, CipherSuite> = new Map(
  suites.flatMap(([iana, openSsl]) => [iana, openSsl, gnuTlsName(iana)].map((name) => [name, iana] as const)),
);

const curves = { x25519: "X25519", secp256r1: "prime256v1", secp384r1: "secp384r1", secp521r1: "secp521r1" };

export type Curve = keyof typeof curves;

const curveByName: ReadonlyMap<string, Curve> = new Map([
  ["x25519", "x25519"],
  ["X25519", "x25519"],
  ["secp256r1", "secp256r1"],
  ["prime256v1", "secp256r1"],
  ["secp384r1", "secp384r1"],
  ["secp521r1", "secp521r1"],
]);

const named = <Name extends string>(byName: ReadonlyMap<string, Name>, what: string) =>
  Schema.String.pipe(
    Schema.decodeTo(Schema.Literals([...new Set(byName.values())]), {
      decode: SchemaGetter.transformEffect((name: string) => {
        const known = byName.get(name);
        return known === undefined
          ? Effect.fail(unacceptable(`expected ${what}: one of ${[...new Set(byName.values())].join(", ")}`))
          : Effect.succeed(known);
      }),
      encode: SchemaGetter.transform((name: string) => name),
    }),
  );

/**
 * - `tlsVersion`: the lowest version to speak, 1.2 or 1.3.
 * - `curves`: elliptic curves for the key exchange; the documentation of the reference also spells it `curve`.
 * - `cipher`: cipher suites by IANA, OpenSSL or GnuTLS name.
 */
export const tlsFields = {
  tlsVersion: defaulted(oneOf(["1.2", "1.3"]), "1.3"),
  curves: defaulted(listOf(named(curveByName, "a curve"), { alsoSpelt: ["curve"] }), [
    "x25519",
    "secp256r1",
    "secp384r1",
    "secp521r1",
  ]),
  cipher: defaulted(listOf(named(suiteByName, "a cipher suite")), [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  ]),
};

export interface TlsOptions {
  readonly tlsVersion: "1.2" | "1.3";
  readonly curves: ReadonlyArray<Curve>;
  readonly cipher: ReadonlyArray<CipherSuite>;
}

const openSslNames: ReadonlyMap<string, string> = new Map(suites);

/** The same options as Node.js's `tls` module takes them. */
export const nodeTlsOptions = (options: TlsOptions) => ({
  minVersion: `TLSv${options.tlsVersion}` as const,
  ecdhCurve: options.curves.map((curve) => curves[curve]).join(":"),
  ciphers: options.cipher.map((suite) => openSslNames.get(suite) ?? suite).join(":"),
});
