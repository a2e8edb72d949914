/**
 * Public keys as SSH writes them (RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH's PROTOCOL.u2f): reading,
 * writing, and checking signatures. Signatures with SHA-1 and DSA keys are not accepted.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify as verifySignature } from "node:crypto";
import { ProtocolError, Reader, string } from "./wire.ts";

interface KeyType {
  /** The signature algorithms that go with a key of this type. */
  readonly algorithms: readonly string[];
  /** Reads what follows the type's name in a key's blob. */
  readonly read: (reader: Reader) => KeyObject;
  readonly verify: (key: PublicKey, algorithm: string, signature: Reader, data: Buffer) => boolean;
}

/** A key that a client or a server has proven, or wants to prove, that it holds. */
export interface PublicKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly key: KeyObject;
  /** Of a key in a FIDO authenticator: what it was made for. */
  readonly application: Buffer | undefined;
}

interface Curve {
  readonly name: string;
  readonly jwk: string;
  readonly openssl: string;
  readonly bytes: number;
  readonly hash: string;
}

const curves: readonly Curve[] = [
  { name: "nistp256", jwk: "P-256", openssl: "prime256v1", bytes: 32, hash: "sha256" },
  { name: "nistp384", jwk: "P-384", openssl: "secp384r1", bytes: 48, hash: "sha384" },
  { name: "nistp521", jwk: "P-521", openssl: "secp521r1", bytes: 66, hash: "sha512" },
];

/** As OpenSSH: shorter RSA keys are not accepted. */
const SHORTEST_RSA_BITS = 1024;
/** A FIDO authenticator says that somebody touched it (WebAuthn section 6.1). */
const USER_PRESENT = 0x01;

const base64url = (bytes: Buffer): string => bytes.toString("base64url");

const withoutLeadingZeros = (bytes: Buffer): Buffer => {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start++;
  return bytes.subarray(start);
};

/** An mpint (RFC 4251 section 5) as a number of fixed width. */
const padded = (mpint: Buffer, width: number): Buffer => {
  const digits = withoutLeadingZeros(mpint);
  if (digits.length > width) throw new ProtocolError("a number is too big for its key");
  return Buffer.concat([Buffer.alloc(width - digits.length), digits]);
};

/** A number as SSH writes it (RFC 4251 section 5). */
export const mpint = (digits: Buffer): Buffer => {
  const short = withoutLeadingZeros(digits);
  return string((short[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
};

const readEd25519 = (reader: Reader): KeyObject =>
  createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: base64url(reader.string()) }, format: "jwk" });

const readEcdsa =
  (curve: Curve) =>
  (reader: Reader): KeyObject => {
    const name = reader.name();
    const point = reader.string();
    if (name !== curve.name || point.length !== 1 + 2 * curve.bytes || point[0] !== 4) {
      throw new ProtocolError(`not an uncompressed point of ${curve.name}`);
    }
    const x = base64url(point.subarray(1, 1 + curve.bytes));
    const y = base64url(point.subarray(1 + curve.bytes));
    return createPublicKey({ key: { kty: "EC", crv: curve.jwk, x, y }, format: "jwk" });
  };

const readRsa = (reader: Reader): KeyObject => {
  const e = base64url(withoutLeadingZeros(reader.string()));
  const n = base64url(withoutLeadingZeros(reader.string()));
  const key = createPublicKey({ key: { kty: "RSA", n, e }, format: "jwk" });
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < SHORTEST_RSA_BITS) {
    throw new ProtocolError("the RSA key is too short");
  }
  return key;
};

const verifyEcdsa = (curve: Curve, key: KeyObject, signature: Buffer, data: Buffer): boolean => {
  const numbers = new Reader(signature, 0);
  const [r, s] = [padded(numbers.string(), curve.bytes), padded(numbers.string(), curve.bytes)];
  return verifySignature(curve.hash, data, { key, dsaEncoding: "ieee-p1363" }, Buffer.concat([r, s]));
};

/** A FIDO authenticator signs the application's hash, flags, a counter and the data's hash. */
const authenticatorData = (key: PublicKey, signature: Reader, data: Buffer): Buffer | undefined => {
  const flags = signature.byte();
  const counter = signature.uint32();
  if ((flags & USER_PRESENT) === 0) return undefined;
  const rest = Buffer.alloc(5);
  rest.writeUInt8(flags, 0);
  rest.writeUInt32BE(counter, 1);
  return Buffer.concat([sha256(key.application ?? Buffer.alloc(0)), rest, sha256(data)]);
};

const sha256 = (bytes: Buffer): Buffer => createHash("sha256").update(bytes).digest();

const ed25519: KeyType = {
  algorithms: ["ssh-ed25519"],
  read: readEd25519,
  verify: ({ key }, _, signature, data) => verifySignature(null, data, key, signature.string()),
};

const ecdsa = (curve: Curve): KeyType => ({
  algorithms: [`ecdsa-sha2-${curve.name}`],
  read: readEcdsa(curve),
  verify: ({ key }, _, signature, data) => verifyEcdsa(curve, key, signature.string(), data),
});

const rsa: KeyType = {
  algorithms: ["rsa-sha2-512", "rsa-sha2-256"],
  read: readRsa,
  verify: ({ key }, algorithm, signature, data) => {
    const width = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
    const hash = algorithm === "rsa-sha2-512" ? "sha512" : "sha256";
    return verifySignature(hash, data, key, padded(signature.string(), width));
  },
};

const [p256] = curves as [Curve];

const authenticatorEd25519: KeyType = {
  algorithms: ["sk-ssh-ed25519@openssh.com"],
  read: readEd25519,
  verify: (key, _, signature, data) => {
    const proof = signature.string();
    const signed = authenticatorData(key, signature, data);
    return signed !== undefined && verifySignature(null, signed, key.key, proof);
  },
};

const authenticatorEcdsa: KeyType = {
  algorithms: ["sk-ecdsa-sha2-nistp256@openssh.com"],
  read: readEcdsa(p256),
  verify: (key, _, signature, data) => {
    const proof = signature.string();
    const signed = authenticatorData(key, signature, data);
    return signed !== undefined && verifyEcdsa(p256, key.key, proof, signed);
  },
};

const keyTypes: ReadonlyMap<string, KeyType> = new Map([
  ["ssh-ed25519", ed25519],
  ...curves.map((curve) => [`ecdsa-sha2-${curve.name}`, ecdsa(curve)] as const),
  ["sk-ssh-ed25519@openssh.com", authenticatorEd25519],
  ["sk-ecdsa-sha2-nistp256@openssh.com", authenticatorEcdsa],
  ["ssh-rsa", rsa],
]);

/** Every signature algorithm that a client may authenticate with, the preferred one first. */
export const signatureAlgorithms: readonly string[] = [...keyTypes.values()].flatMap(
  ({ algorithms }) => algorithms,
);

/** The types of keys that a client may have, as authorized_keys names them. */
export const publicKeyTypes: readonly string[] = [...keyTypes.keys()];

/** Reads a key's blob; undefined when it is none of the known types, or broken. */
export const readPublicKey = (blob: Buffer): PublicKey | undefined => {
  try {
    const reader = new Reader(blob, 0);
    const type = reader.name();
    const key = keyTypes.get(type)?.read(reader);
    const application = type.startsWith("sk-") ? reader.string() : undefined;
    return key === undefined || !reader.isAtEnd ? undefined : { type, blob, key, application };
  } catch {
    // A key that does not parse is an unknown key: OpenSSL's many reasons help nobody.
    return undefined;
  }
};

/** Whether a signature by this algorithm can be one of this key. */
export const canSignWith = (key: PublicKey, algorithm: string): boolean =>
  keyTypes.get(key.type)?.algorithms.includes(algorithm) ?? false;

/** Checks a signature (RFC 4253 section 6.6: the algorithm's name, then what it makes) over data. */
export const isSignatureOf = (
  key: PublicKey,
  algorithm: string,
  signature: Buffer,
  data: Buffer,
): boolean => {
  try {
    const reader = new Reader(signature, 0);
    return (
      reader.name() === algorithm &&
      canSignWith(key, algorithm) &&
      (keyTypes.get(key.type)?.verify(key, algorithm, reader, data) ?? false)
    );
  } catch {
    // A signature that does not parse proves nothing.
    return false;
  }
};

/** `SHA256:…` as `ssh-keygen -l` prints it. */
export const fingerprintOf = (blob: Buffer): string =>
  `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;

/** The blob of a private key's public half; undefined when SSH has no type for it. */
export const writePublicKey = (privateKey: KeyObject): { type: string; blob: Buffer } | undefined => {
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  const bytes = (field: string | undefined) => Buffer.from(field ?? "", "base64url");
  const write = (type: string, ...fields: Buffer[]) => ({
    type,
    blob: Buffer.concat([string(type), ...fields]),
  });
  const curve = curves.find((known) => known.jwk === jwk.crv);
  if (jwk.kty === "RSA") return write("ssh-rsa", mpint(bytes(jwk.e)), mpint(bytes(jwk.n)));
  if (jwk.crv === "Ed25519") return write("ssh-ed25519", string(bytes(jwk.x)));
  if (curve === undefined) return undefined;
  const point = Buffer.concat([
    Buffer.of(4),
    padded(bytes(jwk.x), curve.bytes),
    padded(bytes(jwk.y), curve.bytes),
  ]);
  return write(`ecdsa-sha2-${curve.name}`, string(curve.name), string(point));
};

/** Two numbers, as RFC 5656 section 3.1.2 writes them. */
export const signEcdsa = (key: KeyObject, data: Buffer): Buffer => {
  const curve = curves.find(({ openssl }) => openssl === key.asymmetricKeyDetails?.namedCurve);
  if (curve === undefined) throw new Error("SSH has no name for the curve of this key");
  const numbers = sign(curve.hash, data, { key, dsaEncoding: "ieee-p1363" });
  return Buffer.concat([mpint(numbers.subarray(0, curve.bytes)), mpint(numbers.subarray(curve.bytes))]);
};
