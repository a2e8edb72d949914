/** What one connection gets: the file's configuration, overlaid by the configuration server's answer. */
import { Duration, Effect } from "effect";
import type { Identity, Settings } from "../machines/facts.ts";
import { overlay } from "./config/overlay.ts";
import { type Config, settingsOf } from "./config/schema.ts";
import type { RequestConfig } from "./configserver/client.ts";
import type { Failure } from "./failure.ts";
import { add } from "./metadata.ts";

/** The reference asks for this long before it gives up. */
const CONFIG_DEADLINE = Duration.seconds(60);

export type Configure = (
  identity: Identity,
) => Effect.Effect<{ identity: Identity; settings: Settings }, Failure>;

/** Without a configuration server everybody gets the file's configuration. */
export const configureFrom = (config: Config, request: RequestConfig | undefined): Configure => {
  if (request === undefined) return (identity) => Effect.succeed({ identity, settings: settingsOf(config) });
  return (identity) =>
    Effect.gen(function* () {
      const answer = yield* request(identity, CONFIG_DEADLINE);
      const merged = yield* overlay(config, answer.config);
      return { identity: add(identity, answer.additions), settings: settingsOf(merged) };
    });
};
