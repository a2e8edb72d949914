import { Effect, Redacted, Schema } from "effect";
import { describe, expect, test } from "vitest";
import type { Identity } from "../../machines/facts.ts";
import { add, answerFields, IdentityJson, noAdditions, withoutSensitive } from "../../src/metadata.ts";
import { revealed } from "../support/revealed.ts";

const text = (value: string, sensitive = false) => ({ value: Redacted.make(value), sensitive });
const file = (content: string, sensitive = false) => ({
  content: Redacted.make<Uint8Array>(new TextEncoder().encode(content)),
  sensitive,
});

const jane: Identity = {
  connectionId: "0123456789ABCDEF",
  remoteAddress: "[::1]:50000",
  clientVersion: "SSH-2.0-test",
  username: "jane",
  authenticatedUsername: "jane@example.com",
  metadata: { team: text("blue"), token: text("s3cret", true) },
  environment: { LANG: text("C.UTF-8"), KEY: text("s3cret", true) },
  files: { "/etc/motd": file("hi"), "/run/key": file("s3cret", true) },
};

const Answer = Schema.Struct(answerFields);
const read = (body: unknown) =>
  Effect.runSync(Effect.result(Schema.decodeUnknownEffect(Answer, { onExcessProperty: "error" })(body)));
const readValid = (body: unknown) => {
  const result = read(body);
  if (result._tag === "Failure") throw result.failure;
  return result.success;
};
const write = (identity: Identity) => Schema.encodeSync(IdentityJson)(identity);

describe("merging", () => {
  test("a later step adds and overrides what it names, and drops nothing", () => {
    const merged = add(jane, {
      ...noAdditions,
      authenticatedUsername: "",
      environment: { LANG: text("de"), PATH: text("/bin") },
    });
    expect(merged.authenticatedUsername).toBe("jane@example.com");
    expect(revealed(merged.metadata)).toEqual(revealed(jane.metadata));
    expect(revealed(merged.files)).toEqual(revealed(jane.files));
    expect(Object.keys(merged.environment)).toEqual(["LANG", "KEY", "PATH"]);
    expect(revealed(merged.environment)).toMatchObject({ LANG: { value: "de" }, KEY: { value: "s3cret" } });
  });

  test("a later step may name another proven user", () => {
    expect(add(jane, { authenticatedUsername: "root" }).authenticatedUsername).toBe("root");
  });
});

describe("requests", () => {
  test("are written as the reference writes them", () => {
    expect(write(jane)).toEqual({
      username: "jane",
      authenticatedUsername: "jane@example.com",
      remoteAddress: "[::1]:50000",
      connectionId: "0123456789ABCDEF",
      clientVersion: "SSH-2.0-test",
      metadata: {
        team: { value: "blue", sensitive: false },
        token: { value: "s3cret", sensitive: true },
      },
      environment: {
        LANG: { value: "C.UTF-8", sensitive: false },
        KEY: { value: "s3cret", sensitive: true },
      },
      files: {
        "/etc/motd": { value: "aGk=", sensitive: false },
        "/run/key": { value: "czNjcmV0", sensitive: true },
      },
    });
  });

  test("leave out what is empty", () => {
    expect(write({ ...jane, ...noAdditions, authenticatedUsername: "" })).toEqual({
      username: "jane",
      remoteAddress: "[::1]:50000",
      connectionId: "0123456789ABCDEF",
      clientVersion: "SSH-2.0-test",
    });
  });

  test("hold nothing sensitive once it is taken out", () => {
    const written = write(withoutSensitive(jane));
    expect(JSON.stringify(written)).not.toMatch(/s3cret|czNjcmV0|token|KEY|run/);
    expect(written).toMatchObject({
      metadata: { team: {} },
      environment: { LANG: {} },
      files: { "/etc/motd": {} },
    });
  });

  test("are read back as they were", () => {
    const readBack = Schema.decodeUnknownSync(IdentityJson)(JSON.parse(JSON.stringify(write(jane))));
    expect(revealed(readBack)).toEqual(revealed(jane));
  });
});

describe("answers", () => {
  test("may say nothing, or null, as Go's JSON decoder reads it", () => {
    const nothing = { authenticatedUsername: "", ...noAdditions };
    expect(readValid({})).toEqual(nothing);
    expect(
      readValid({ authenticatedUsername: null, metadata: null, environment: null, files: null }),
    ).toEqual(nothing);
    const { environment } = readValid({ environment: { A: {}, B: { value: null, sensitive: null } } });
    const empty = { value: "", sensitive: false };
    expect(revealed(environment)).toEqual({ A: empty, B: empty });
    const { files } = readValid({ files: { "/empty": { value: null } } });
    expect(revealed(files)).toEqual({ "/empty": { content: "", sensitive: false } });
  });

  test("may echo the connection, as the reference's Go library does, and are not believed", () => {
    const { authenticatedUsername, metadata } = readValid({
      remoteAddress: "<nil>:0",
      connectionId: "",
      clientVersion: "",
      username: "root",
      authenticatedUsername: "jane",
    });
    expect({ authenticatedUsername, metadata }).toEqual({ authenticatedUsername: "jane", metadata: {} });
  });

  test("carry bytes as they are", () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    const { files } = readValid({
      files: { "/bin/x": { value: bytes.toString("base64"), sensitive: true } },
    });
    expect(revealed(files)).toEqual({ "/bin/x": { content: bytes.toString("latin1"), sensitive: true } });
  });

  test("do not tell their values to whoever prints them", () => {
    const answer = readValid({
      metadata: { a: { value: "s3cret" } },
      files: { "/x": { value: Buffer.from("s3cret").toString("base64"), sensitive: true } },
    });
    expect(`${JSON.stringify(answer)}`).not.toMatch(/s3cret|czNjcmV0|115,51/);
  });

  test.each([
    ["null", null],
    ["a list", []],
    ["a text", "s3cret"],
    ["a field nobody knows", { sucess: true }],
    ["a user name that is a number", { authenticatedUsername: 7 }],
    ["metadata as a list", { metadata: ["s3cret"] }],
    ["a value that is not wrapped", { metadata: { a: "s3cret" } }],
    ["a value that is a number", { environment: { A: { value: 3 } } }],
    ["sensitive as a text", { environment: { A: { value: "s3cret", sensitive: "true" } } }],
    ["a field of a value nobody knows", { environment: { A: { value: "s3cret", secret: true } } }],
    ["a variable without a name", { environment: { "": { value: "s3cret" } } }],
    ["a variable's name with =", { environment: { "A=B": { value: "s3cret" } } }],
    ["a variable's name with NUL", { environment: { "A\0": { value: "s3cret" } } }],
    ["a variable's value with NUL", { environment: { A: { value: "s3cret\0" } } }],
    ["a name of metadata with =", { metadata: { "a=b": { value: "s3cret" } } }],
    ["a file's relative path", { files: { "etc/motd": { value: "czNjcmV0" } } }],
    ["a file's path that is a directory", { files: { "/etc/": { value: "czNjcmV0" } } }],
    ["the root as a file", { files: { "/": { value: "czNjcmV0" } } }],
    ["a file's path with NUL", { files: { "/etc/\0": { value: "czNjcmV0" } } }],
    ["a file that is not base64", { files: { "/x": { value: "s3cret!" } } }],
    ["base64 without padding", { files: { "/x": { value: "czNjcmV0MQ" } } }],
  ])("with %s are refused, and the reason repeats no value", (_, body) => {
    const result = read(body);
    expect(result._tag).toBe("Failure");
    expect(`${result}`).not.toMatch(/s3cret|czNjcmV0/);
  });

  test("can't reach JavaScript's prototypes", () => {
    const answer = readValid(JSON.parse('{"environment": {"__proto__": {"value": "x", "sensitive": true}}}'));
    expect(Object.keys(answer.environment)).toEqual(["__proto__"]);
    expect(Object.keys(add(jane, answer).environment)).toContain("__proto__");
    expect(Object.keys(withoutSensitive(add(jane, answer)).environment)).toEqual(["LANG"]);
    expect("sensitive" in {}).toBe(false);
  });
});
