import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blobOf, readAuthorizedKey } from "../../../src/auth/authorized-key.ts";
import { string } from "../../../src/ssh/wire.ts";

let directory: string;
const keys = new Map<string, string>();
const types = ["ed25519", "rsa", "ecdsa"];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "berth-authorized-key-"));
  for (const type of types) {
    const file = join(directory, type);
    execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "", "-C", "jane@laptop with words", "-f", file]);
    keys.set(type, readFileSync(`${file}.pub`, "utf8"));
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const line = (type: string) => keys.get(type) ?? "";
const fields = (type: string) => line(type).trim().split(" ");

describe("keys that ssh-keygen made", () => {
  test.each(types)("%s, with comment and newline, tabs or alone", (type) => {
    const [algorithm, blob] = fields(type);
    const read = { blob };
    expect(readAuthorizedKey(line(type))).toEqual(read);
    expect(readAuthorizedKey(`  ${algorithm}\t${blob}\tcomment`)).toEqual(read);
    expect(readAuthorizedKey(`${algorithm} ${blob}`)).toEqual(read);
    expect(blobOf(`${algorithm} ${blob}`)).toBe(blob);
  });
});

test("a key in a FIDO authenticator, which only one who has it can make", () => {
  const point = Buffer.from(fields("ed25519")[1] ?? "", "base64").subarray(-32);
  const type = "sk-ssh-ed25519@openssh.com";
  const blob = Buffer.concat([string(type), string(point), string("ssh:")]).toString("base64");
  expect(readAuthorizedKey(`${type} ${blob} jane@token`)).toEqual({ blob });
});

describe("lines that are refused", () => {
  test.each(["restrict", 'from="10.0.0.0/8"', 'command="/bin/false",no-pty', "cert-authority"])(
    "the option %s would be lost",
    (option) => {
      expect(readAuthorizedKey(`${option} ${line("ed25519")}`)).toMatch(/has options/);
    },
  );

  test("a private key", () => {
    expect(readAuthorizedKey(readFileSync(join(directory, "ed25519"), "utf8"))).toMatch(/private key/);
  });

  test("two keys in one", () => {
    expect(readAuthorizedKey(`${line("ed25519")}${line("rsa")}`)).toMatch(/more than one line/);
  });

  test("a key under another type's name", () => {
    expect(readAuthorizedKey(`ssh-rsa ${fields("ed25519")[1]}`)).toMatch(/not a complete key/);
  });

  test("a key cut short", () => {
    expect(readAuthorizedKey(line("rsa").slice(0, 100))).toMatch(/not a complete key/);
  });

  test.each([
    "",
    "# jane's key",
    "ssh-dss AAAAB3NzaC1kc3MAAAAA",
    "ssh-ed25519-cert-v01@openssh.com AAAA",
    "jane",
  ])("%j", (text) => {
    expect(readAuthorizedKey(text)).toEqual(expect.any(String));
  });
});
