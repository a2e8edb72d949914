/** Names of persistent environments: valid, and never the same for two users. */
import { Redacted } from "effect";
import { describe, expect, it } from "vitest";
import type { Identity } from "../../../machines/facts.ts";
import { DNS_LABEL, fillName, isPerUser } from "../../../src/backend/environment-name.ts";

const identity = (authenticatedUsername: string, metadata: Record<string, string> = {}): Identity => ({
  connectionId: "c",
  remoteAddress: "192.0.2.1:4711",
  clientVersion: "SSH-2.0-test",
  username: "asked-for",
  authenticatedUsername,
  environment: {},
  files: {},
  metadata: Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, { value: Redacted.make(value), sensitive: false }]),
  ),
});

const name = (template: string, user: string, metadata?: Record<string, string>): string => {
  const filled = fillName(template, identity(user, metadata), DNS_LABEL);
  return filled.kind === "name" ? filled.name : `nothing for ${filled.placeholder}`;
};

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

describe("a name with placeholders", () => {
  it("is left as it is without any, whatever it is", () => {
    expect(name("My.Pod", "jane")).toBe("My.Pod");
    expect(name("{other}", "jane")).toBe("{other}");
  });

  it("never holds what is sensitive", () => {
    const own = identity("jane", { team: "red" });
    const secret = { value: Redacted.make("s3cr3t"), sensitive: true };
    const login: Identity = { ...own, metadata: { ...own.metadata, token: secret } };
    expect(fillName("{metadata.team}-{metadata.token}", login, DNS_LABEL)).toEqual({
      kind: "sensitive",
      placeholder: "{metadata.token}",
    });
  });

  it("holds what fits as it is", () => {
    expect(name("lab-{authenticatedUsername}", "jane")).toBe("lab-jane");
    expect(name("{username}", "jane")).toBe("asked-for");
    expect(name("p-{metadata.team}-x", "jane", { team: "red" })).toBe("p-red-x");
  });

  it.each([
    "Jane",
    "jane@example.com",
    "a".repeat(64),
    "a".repeat(500),
    "ümläut",
    "日本",
    "-",
    "--",
    "x-",
    "../../etc",
    " ",
    "a\nb\0c",
    "{authenticatedUsername}",
    "$&$1",
  ])("is a valid label for %j", (user) => {
    for (const template of [
      "{authenticatedUsername}",
      "pod-{authenticatedUsername}",
      "{authenticatedUsername}-pod",
    ]) {
      expect(name(template, user)).toMatch(LABEL);
    }
  });

  it("is never the same for two users", () => {
    const users = [
      "jane",
      "Jane",
      "JANE",
      "j-ane",
      "j_ane",
      "j.ane",
      "jane-",
      "-jane",
      "a".repeat(63),
      "a".repeat(64),
    ];
    // Whoever knows how names are made could ask for a user name that is another user's pod name.
    users.push(...users.map((user) => name("{authenticatedUsername}", user)));
    for (const template of [
      "{authenticatedUsername}",
      "p{authenticatedUsername}",
      "{authenticatedUsername}s",
    ]) {
      const names = [...new Set(users)].map((user) => name(template, user));
      expect(new Set(names).size).toBe(names.length);
    }
  });

  it("does not let two values flow into each other", () => {
    const template = "{authenticatedUsername}-{metadata.team}";
    expect(name(template, "a-b", { team: "c" })).not.toBe(name(template, "a", { team: "b-c" }));
    expect(name(template, "a", { team: "c" })).toBe("a-c");
    const adjacent = "{authenticatedUsername}{metadata.team}";
    expect(name(adjacent, "ab", { team: "c" })).not.toBe(name(adjacent, "a", { team: "bc" }));
  });

  it("says which placeholder has nothing to stand for", () => {
    expect(name("{metadata.team}", "jane")).toBe("nothing for {metadata.team}");
    expect(name("{metadata.constructor}", "jane")).toBe("nothing for {metadata.constructor}");
    expect(name("x-{authenticatedUsername}", "")).toBe("nothing for {authenticatedUsername}");
  });

  it("is per user only with the authenticated user in it", () => {
    expect(isPerUser("{authenticatedUsername}")).toBe(true);
    expect(isPerUser("{username}-{metadata.team}")).toBe(false);
  });
});
