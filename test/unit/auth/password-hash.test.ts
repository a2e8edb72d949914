import { Effect, Redacted } from "effect";
import { describe, expect, test } from "vitest";
import { hashPassword, type PasswordHash, readPasswordHash } from "../../../src/auth/password-hash.ts";

const read = (phc: string) => readPasswordHash(Redacted.make(phc));

const readValid = (phc: string): PasswordHash => {
  const hash = read(phc);
  if (typeof hash === "string") throw new Error(hash);
  return hash;
};

const matches = (phc: string, password: string) =>
  Effect.runPromise(readValid(phc).matches(Redacted.make(password)));

const phc = (bytes: Buffer) => bytes.toString("base64").replaceAll("=", "");

/** RFC 7914 section 12, the third vector. */
const rfc7914 = `$scrypt$ln=14,r=8,p=1$${phc(Buffer.from("SodiumChloride"))}$${phc(
  Buffer.from(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
      "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
    "hex",
  ),
)}`;

/** From the tests of the Argon2 reference implementation (P-H-C/phc-winner-argon2, src/test.c). */
const argon2Reference =
  "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

describe("hashes made elsewhere", () => {
  test.each([
    ["scrypt of RFC 7914", rfc7914, "pleaseletmein"],
    ["argon2id of the reference implementation", argon2Reference, "password"],
  ])("%s lets its password in and no other", async (_, hash, password) => {
    expect(await matches(hash, password)).toBe(true);
    expect(await matches(hash, `${password} `)).toBe(false);
    expect(await matches(hash, "")).toBe(false);
  });

  test("base64 with padding is read too", async () => {
    expect(await matches(`${rfc7914}==`, "pleaseletmein")).toBe(true);
  });
});

describe("hashPassword", () => {
  test("makes a hash that lets the password in, another each time", async () => {
    const password = Redacted.make("pässwörd 🗝");
    const [first, second] = await Promise.all([
      Effect.runPromise(hashPassword(password)),
      Effect.runPromise(hashPassword(password)),
    ]);
    expect(first).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(first).not.toBe(second);
    expect(await matches(first, "pässwörd 🗝")).toBe(true);
    expect(await matches(first, "passwörd 🗝")).toBe(false);
  });
});

describe("a hash that can't be used is refused when it is read", () => {
  test.each([
    ["plain text", "hunter2secret", /begins with/],
    ["empty", "", /begins with/],
    ["crypt(3)", "$6$salt$hunter2secret", /begins with/],
    ["argon2i", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$hunter2secret", /begins with/],
    ["argon2id cut short", "$argon2id$v=19$m=65536,t=2", /not a complete/],
    ["argon2id without a hash", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", /not a complete/],
    ["argon2id of 4 GiB", argon2Reference.replace("65536", "4194304"), /256 MiB/],
    ["argon2id of 1000 passes", argon2Reference.replace("t=2", "t=1000"), /20 passes/],
    ["scrypt cut short", rfc7914.slice(0, 40), /not a complete/],
    ["scrypt of 2^99", rfc7914.replace("ln=14", "ln=99"), /256 MiB/],
    ["scrypt of 1 GiB", rfc7914.replace("ln=14", "ln=20"), /256 MiB/],
    ["scrypt without blocks", rfc7914.replace("r=8", "r=0"), /at least 1/],
    ["scrypt of 2^0", rfc7914.replace("ln=14", "ln=0"), /at least 1/],
  ])("%s", (_, hash, why) => {
    const problem = read(hash);
    expect(problem).toMatch(why);
    expect(problem).not.toContain("hunter2secret");
  });
});
