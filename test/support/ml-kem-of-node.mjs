/**
 * Compares the ML-KEM of the Node.js that runs this with known values.
 * usage: node ml-kem-of-node.mjs MODULE CASES; MODULE is the built src/ssh/ml-kem.ts.
 */
import { strictEqual } from "node:assert";
import { createPrivateKey, createPublicKey, decapsulate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [, , module, file] = process.argv;
const { nobleMlKem, nodeMlKem } = await import(pathToFileURL(module));
const cases = JSON.parse(await readFile(file, "utf8"));
const node = nodeMlKem();

/** A private key that is only its seed (RFC 9935 section 6). */
const keyOf = (seed) =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from("3054020100300b060960864801650304040204428040", "hex"), seed]),
    format: "der",
    type: "pkcs8",
  });

for (const texts of cases) {
  const [seed, publicKey, ciphertext, secret, stranger, rejected] = texts.map((text) =>
    Buffer.from(text, "hex"),
  );
  const key = keyOf(seed);
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  strictEqual(spki.subarray(-publicKey.length).compare(publicKey), 0);
  strictEqual(decapsulate(key, ciphertext).compare(secret), 0);
  strictEqual(decapsulate(key, stranger).compare(rejected), 0);
  const ours = node.encapsulate(publicKey);
  strictEqual(decapsulate(key, ours.ciphertext).compare(ours.sharedSecret), 0);
}
for (const [one, other] of [
  [node, nobleMlKem],
  [nobleMlKem, node],
]) {
  const keys = one.generateKeys();
  const { ciphertext, sharedSecret } = other.encapsulate(keys.encapsulationKey);
  strictEqual(keys.decapsulate(ciphertext).compare(sharedSecret), 0);
}
console.log(`${cases.length} agree`);
