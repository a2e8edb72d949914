/** ML-KEM-768 (FIPS 203): Node's own since 24.7, elsewhere that of @noble/post-quantum. */
import crypto, { createPublicKey, type KeyObject } from "node:crypto";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

export const ENCAPSULATION_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;
export const SHARED_SECRET_BYTES = 32;

/** One side's key pair, for one exchange. */
export interface MlKemKeys {
  /** `ENCAPSULATION_KEY_BYTES` long. */
  readonly encapsulationKey: Buffer;
  /** The secret in a ciphertext of `CIPHERTEXT_BYTES`; one that was not made with this key gives a random secret. */
  decapsulate(ciphertext: Buffer): Buffer;
}

export interface MlKem768 {
  /** Where it comes from, for the log. */
  readonly implementation: "node:crypto" | "@noble/post-quantum";
  generateKeys(): MlKemKeys;
  /** @throws when the key has a coefficient that is not reduced (FIPS 203 section 7.2). */
  encapsulate(encapsulationKey: Buffer): { readonly ciphertext: Buffer; readonly sharedSecret: Buffer };
}

/** What Node 24.7 and later have more than the types of Node 20 know. */
interface CryptoWithMlKem {
  generateKeyPairSync(type: "ml-kem-768"): { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  encapsulate(key: KeyObject): { readonly ciphertext: Buffer; readonly sharedKey: Buffer };
  decapsulate(key: KeyObject, ciphertext: Buffer): Buffer;
}

const hasMlKem = (module: object): module is CryptoWithMlKem =>
  "encapsulate" in module && "decapsulate" in module;

/** What stands before the key in a SubjectPublicKeyInfo of id-alg-ml-kem-768 (RFC 9935 section 4). */
const SPKI_PREFIX = Buffer.from("308204b2300b0609608648016503040402038204a100", "hex");

/** @internal Exported for tests, which compare both. */
export const nodeMlKem = (module: object = crypto): MlKem768 | undefined => {
  if (!hasMlKem(module)) return undefined;
  return {
    implementation: "node:crypto",
    generateKeys: () => {
      const { publicKey, privateKey } = module.generateKeyPairSync("ml-kem-768");
      const spki = publicKey.export({ type: "spki", format: "der" });
      return {
        encapsulationKey: spki.subarray(SPKI_PREFIX.length),
        decapsulate: (ciphertext) => module.decapsulate(privateKey, ciphertext),
      };
    },
    encapsulate: (encapsulationKey) => {
      const spki = Buffer.concat([SPKI_PREFIX, encapsulationKey]);
      const key = createPublicKey({ key: spki, type: "spki", format: "der" });
      const { ciphertext, sharedKey } = module.encapsulate(key);
      return { ciphertext, sharedSecret: sharedKey };
    },
  };
};

/** @internal Exported for tests, which compare both. */
export const nobleMlKem: MlKem768 = {
  implementation: "@noble/post-quantum",
  generateKeys: () => {
    const { publicKey, secretKey } = ml_kem768.keygen();
    return {
      encapsulationKey: bytesOf(publicKey),
      decapsulate: (ciphertext) => bytesOf(ml_kem768.decapsulate(ciphertext, secretKey)),
    };
  },
  encapsulate: (encapsulationKey) => {
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(encapsulationKey);
    return { ciphertext: bytesOf(cipherText), sharedSecret: bytesOf(sharedSecret) };
  },
};

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

/** The one that this Node has. */
export const mlKem768: MlKem768 = nodeMlKem() ?? nobleMlKem;
