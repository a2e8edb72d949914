/**
 * ML-KEM-768 against published values: those of Go's crypto/mlkem (TestAccumulated), a digest over keys, ciphertexts
 * and secrets that one stream of SHAKE128 determines. Node's own is tried in test/e2e/post-quantum.test.ts, by a
 * Node that has it.
 */
import { shake128 } from "@noble/hashes/sha3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { expect, test } from "vitest";
import { CIPHERTEXT_BYTES, mlKem768, nobleMlKem, nodeMlKem } from "../../../src/ssh/ml-kem.ts";

const ROUNDS = 100;
const PUBLISHED = "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415";

test("agrees with the published digest of 100 rounds", () => {
  const input = shake128.create();
  const output = shake128.create();
  for (let round = 0; round < ROUNDS; round++) {
    const { publicKey, secretKey } = ml_kem768.keygen(input.xof(64));
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, input.xof(32));
    expect(ml_kem768.decapsulate(cipherText, secretKey)).toEqual(sharedSecret);
    const rejected = ml_kem768.decapsulate(input.xof(CIPHERTEXT_BYTES), secretKey);
    output.update(publicKey).update(cipherText).update(sharedSecret).update(rejected);
  }
  expect(bytesToHex(output.xof(32))).toBe(PUBLISHED);
});

test("both sides have the same secret, and another ciphertext gives another one", () => {
  const keys = nobleMlKem.generateKeys();
  const { ciphertext, sharedSecret } = nobleMlKem.encapsulate(keys.encapsulationKey);
  expect(keys.decapsulate(ciphertext)).toEqual(sharedSecret);
  ciphertext.writeUInt8(ciphertext.readUInt8(7) ^ 1, 7);
  expect(keys.decapsulate(ciphertext)).not.toEqual(sharedSecret);
});

test("Node's own is taken where there is one", () => {
  expect(nodeMlKem({})).toBeUndefined();
  expect(mlKem768.implementation).toBe(nodeMlKem()?.implementation ?? "@noble/post-quantum");
});
