import { stat } from "node:fs/promises";
import { Effect, Redacted } from "effect";
import { beforeAll, describe, expect, test } from "vitest";
import { PasswordRefused, PublicKeyRefused } from "../../../src/auth/authenticator.ts";
import { hashPassword } from "../../../src/auth/password-hash.ts";
import { UsersInvalid, usersAuthenticator } from "../../../src/auth/users.ts";
import type { User } from "../../../src/config/sections/auth.ts";
import { recordedLog } from "../../support/recorded-log.ts";

const janesKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIquCtMDQh9QpaDFDSuA3GBZlZJfGfDBt9FEBDUYWzlp";
const anotherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPzi0MMQKlXwQ6Ah6hKnqJUrIP9wGKo8VhJaKvl3xNyX";

const attempt = (username: string) => ({
  connectionId: "0123456789ABCDEF",
  remoteAddress: "127.0.0.1:50000",
  clientVersion: "SSH-2.0-test",
  username,
});

let hash: string;
beforeAll(async () => {
  hash = await Effect.runPromise(hashPassword(Redacted.make("correct horse")));
});

const jane = (): User => ({
  name: "jane",
  passwordHash: Redacted.make(hash),
  authorizedKeys: [`${janesKey} jane@laptop`],
});
const robot: User = { name: "robot", authorizedKeys: [anotherKey] };

const authenticator = async (users = [jane(), robot]) => {
  const log = recordedLog();
  const { password, publicKey } = await Effect.runPromise(usersAuthenticator(users, log.logger));
  return {
    log,
    password: (username: string, text: string) =>
      password({ ...attempt(username), password: Redacted.make(text) }),
    publicKey: (username: string, key: string) => publicKey({ ...attempt(username), key }),
  };
};

const failureOf = <E>(effect: Effect.Effect<unknown, E>) => Effect.runPromise(Effect.flip(effect));

describe("passwords", () => {
  test("the right one proves the user name", async () => {
    const { password, log } = await authenticator();
    expect(await Effect.runPromise(password("jane", "correct horse"))).toEqual({
      ...attempt("jane"),
      authenticatedUsername: "jane",
      metadata: {},
      environment: {},
      files: {},
    });
    expect(log.codes()).toEqual(["AUTH", "AUTH_SUCCESSFUL"]);
    expect(log.entries[1]?.details).toMatchObject({ username: "jane", connectionId: "0123456789ABCDEF" });
  });

  test.each([
    ["a wrong password", "jane", "wrong horse"],
    ["no password", "jane", ""],
    ["another case of the name", "Jane", "correct horse"],
    ["nobody by that name", "joe", "correct horse"],
    ["a user without a password", "robot", "correct horse"],
    ["a name of JavaScript's own", "__proto__", "correct horse"],
    ["no name", "", ""],
  ])("%s is refused, in the same words", async (_, username, text) => {
    const { password, log } = await authenticator();
    const refusal = await failureOf(password(username, text));
    expect(refusal).toBeInstanceOf(PasswordRefused);
    expect(refusal).toMatchObject({
      code: "AUTH_FAILED",
      userMessage: expect.stringContaining("password not"),
    });
    expect(log.codes()).toEqual(["AUTH", "AUTH_FAILED"]);
    expect(log.text()).not.toContain("horse");
  });

  test("a user name that doesn't exist takes as long as a wrong password", async () => {
    const { password } = await authenticator();
    // Of the processor, not by the clock: what else the machine does is no part of it.
    const effort = async (username: string) => {
      const start = process.cpuUsage();
      for (let round = 0; round < 5; round++) await failureOf(password(username, "wrong horse"));
      return process.cpuUsage(start).user;
    };
    await effort("jane");
    const wrongPassword = await effort("jane");
    expect(await effort("joe")).toBeGreaterThan(wrongPassword / 3);
    expect(await effort("robot")).toBeGreaterThan(wrongPassword / 3);
  });

  test("nobody gets in when no user has a password", async () => {
    const { password } = await authenticator([robot]);
    expect(await failureOf(password("robot", ""))).toBeInstanceOf(PasswordRefused);
  });

  test("a crowd at the door doesn't keep the daemon from reading files", async () => {
    const { password } = await authenticator();
    let finished = 0;
    const crowd = Array.from({ length: 60 }, () =>
      Effect.runPromise(password("jane", "correct horse")).then(() => finished++),
    );
    await stat(import.meta.filename);
    expect(finished).toBeLessThan(20);
    await Promise.all(crowd);
    expect(finished).toBe(60);
  });

  test("who gives up waiting leaves the queue", async () => {
    const { password } = await authenticator();
    const stops = Array.from({ length: 200 }, () => new AbortController());
    const crowd = stops.map(({ signal }) =>
      Effect.runPromise(password("jane", "correct horse"), { signal }).then(
        () => "in",
        () => "gone",
      ),
    );
    for (const stop of stops) stop.abort();
    expect(new Set(await Promise.all(crowd))).toEqual(new Set(["gone"]));
    await Effect.runPromise(password("jane", "correct horse"));
  });
});

describe("keys", () => {
  test("an authorized key would do, whatever its comment", async () => {
    const { publicKey, log } = await authenticator();
    const identity = await Effect.runPromise(publicKey("jane", janesKey));
    expect(identity).toMatchObject({ username: "jane", authenticatedUsername: "jane" });
    expect(log.codes()).toEqual(["AUTH", "AUTH_SUCCESSFUL"]);
  });

  test.each([
    ["another user's key", "jane", anotherKey],
    ["an unknown user", "joe", janesKey],
    ["a part of a key", "jane", janesKey.slice(0, -4)],
    ["no key", "jane", ""],
  ])("%s is refused", async (_, username, key) => {
    const { publicKey, log } = await authenticator();
    const refusal = await failureOf(publicKey(username, key));
    expect(refusal).toBeInstanceOf(PublicKeyRefused);
    expect(refusal).toMatchObject({ code: "AUTH_FAILED", userMessage: expect.stringContaining("key") });
    expect(log.codes()).toEqual(["AUTH", "AUTH_FAILED"]);
  });
});

test("users that can't be used as written are named all at once, without their secrets", async () => {
  const problem = await failureOf(
    usersAuthenticator(
      [
        { name: "jane", passwordHash: Redacted.make("hunter2"), authorizedKeys: [janesKey, "nonsense"] },
        { name: "jane", authorizedKeys: [`command="/bin/true" ${anotherKey}`] },
      ],
      recordedLog().logger,
    ),
  );
  expect(problem).toBeInstanceOf(UsersInvalid);
  expect(problem).toMatchObject({ code: "AUTH_CONFIG_ERROR" });
  for (const path of [
    "auth.users[0].passwordHash",
    "auth.users[0].authorizedKeys[1]",
    "auth.users[1].name",
    "auth.users[1].authorizedKeys[0]",
  ]) {
    expect(problem.message).toContain(path);
  }
  expect(JSON.stringify(problem) + problem.message).not.toContain("hunter2");
});
