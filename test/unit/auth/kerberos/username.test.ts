import { hostname } from "node:os";
import { describe, expect, it } from "vitest";
import { acceptorOf } from "../../../../src/auth/kerberos/acceptor.ts";
import { principalOf, usernameOf } from "../../../../src/auth/kerberos/username.ts";

const principal = (name: string, localName?: string, isAnonymous = false) => ({
  name,
  localName,
  isAnonymous,
});
const enforced = { enforceUsername: true };
const free = { enforceUsername: false };

describe("the user name of a principal", () => {
  it.each([
    ["jane@EXAMPLE.COM", "jane", "jane", "jane"],
    ["Jane@EXAMPLE.COM", "Jane", "Jane", "Jane"],
    ["jane/admin@EXAMPLE.COM", undefined, "", "jane/admin@EXAMPLE.COM"],
    ["jane/admin@EXAMPLE.COM", "root", "root", "root"],
    ["jane@PARTNER.COM", undefined, "", "jane@PARTNER.COM"],
    ["jane\\@PARTNER.COM@EXAMPLE.COM", "jane@PARTNER.COM", "", ""],
    ["jane\\/admin@EXAMPLE.COM", "jane/admin", "", ""],
    ["jane\\\\@EXAMPLE.COM", "jane\\", "", ""],
    ["jane\\0@EXAMPLE.COM", "jane", "", ""],
    ["jane\u0007@EXAMPLE.COM", "jane\u0007", "", ""],
    ["jane@EXAMPLE.COM", "ja\nne", "", ""],
    ["jane@EXAMPLE.COM", "", "", ""],
  ])("%j, which the library calls %j, is %j where enforced, and else %j", (name, local, strict, loose) => {
    expect(usernameOf(principal(name, local), enforced)).toBe(strict);
    expect(usernameOf(principal(name, local), free)).toBe(loose);
  });

  it("is none for who is anonymous, whatever a rule says", () => {
    const nobody = principal("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", "guest", true);
    expect([usernameOf(nobody, enforced), usernameOf(nobody, free)]).toEqual(["", ""]);
  });
});

describe("the principal whose password lets a user in", () => {
  it.each(["jane", "Jane", "jane.doe", "jäne", "jane doe"])("%s is the user's own", (username) => {
    expect(principalOf(username)).toBe(username);
  });

  it.each(["jane@EXAMPLE.COM", "jane/admin", "jane\\", "ja\0ne", "ja\nne", "host/localhost"])(
    "%j has none",
    (username) => expect(principalOf(username)).toBeUndefined(),
  );
});

it.each([
  ["any", undefined],
  ["host", `host/${hostname()}`],
  ["host/ssh.example.com", "host/ssh.example.com"],
  ["HTTP/web@EXAMPLE.COM", "HTTP/web@EXAMPLE.COM"],
])("the acceptor %s is %s", (acceptor, name) => {
  expect(acceptorOf({ acceptor })).toBe(name);
});
