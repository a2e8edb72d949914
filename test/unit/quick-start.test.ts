/** Whom the quick start lets in by key. Its backends are looked at in test/docker/quick-start.test.ts. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Effect, Schema } from "effect";
import { expect, test, vi } from "vitest";
import { usersAuthenticator } from "../../src/auth/users.ts";
import { Auth } from "../../src/config/sections/auth.ts";
import { quickStart } from "../../src/quick-start.ts";
import { memoryLogger } from "../support/memory-logger.ts";
import { directory } from "../support/resources.ts";

test("takes the keys of the user that it can use, and starts whatever else is in ~/.ssh", async () => {
  await using home = await directory();
  const folder = join(home.path, ".ssh");
  mkdirSync(folder);
  const keygen = (...options: string[]) => execFileSync("ssh-keygen", ["-q", "-N", "", ...options]);
  keygen("-t", "ed25519", "-f", join(folder, "id_ed25519"));
  keygen("-t", "rsa", "-f", join(folder, "id_rsa"));
  keygen("-s", join(folder, "id_rsa"), "-I", "jane", join(folder, "id_ed25519.pub"));
  writeFileSync(join(folder, "id_dsa.pub"), "ssh-dss AAAAB3NzaC1kc3MAAAAA jane@1999\n");
  writeFileSync(join(folder, "notes.pub"), "dinner at eight\n");
  mkdirSync(join(folder, "folder.pub"));
  vi.stubEnv("HOME", home.path).stubEnv("DOCKER_HOST", "unix:///nowhere/docker.sock");
  const { config, keyFiles } = await Effect.runPromise(quickStart(() => {}));
  vi.unstubAllEnvs();
  expect(keyFiles).toEqual([join(folder, "id_ed25519.pub"), join(folder, "id_rsa.pub")]);
  const { users } = Schema.decodeUnknownSync(Auth)(config.auth);
  await Effect.runPromise(usersAuthenticator(users, memoryLogger().logger));
});
