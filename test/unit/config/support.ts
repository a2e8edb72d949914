/** What the configuration's tests share: reading YAML and showing what was found in it. */
import { Effect } from "effect";
import { expect } from "vitest";
import { formatDiagnostic } from "../../../src/config/diagnostic.ts";
import { type Check, type Loaded, parse } from "../../../src/config/load.ts";

/** Lets somebody log in, so that only what a test is about can be wrong. */
export const someAuth = "auth: {publicKey: {method: users}, users: [{name: jane}]}\n";

export const load = (yaml: string, checks: ReadonlyArray<Check> = []): Promise<Loaded> =>
  Effect.runPromise(parse(yaml, "berth.yaml", checks));

/** The errors of a configuration that must not be accepted, as `--check-config` shows them. */
export const errorsOf = async (
  yaml: string,
  checks: ReadonlyArray<Check> = [],
): Promise<readonly string[]> => {
  const failed = await Effect.runPromise(Effect.flip(parse(yaml, "berth.yaml", checks)));
  expect(failed.code).toBe("CORE_CONFIG_ERROR");
  return failed.diagnostics.map(formatDiagnostic);
};
