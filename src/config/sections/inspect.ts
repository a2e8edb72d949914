/** The `inspect` section, Berth's own: the live state inspector. */
import { Schema } from "effect";
import { defaulted, Flag, Listen, Secret, section } from "../codecs.ts";
import { httpServerFields } from "../http.ts";

/**
 * - `connections`: how many finished connections can be looked at.
 * - `mebibytes`: for what is kept of all connections, live and finished.
 */
const History = Schema.Struct({
  connections: defaulted(Schema.Int.check(Schema.isGreaterThan(0)), 1000),
  mebibytes: defaulted(Schema.Int.check(Schema.isGreaterThan(0)), 64),
});

/**
 * - `token`: what whoever looks has to know; without one it is made for this run and printed on standard error.
 * - `allowControl`: whether whoever looks may end connections.
 */
export const Inspect = Schema.Struct({
  enable: defaulted(Flag, false),
  ...httpServerFields,
  listen: defaulted(Listen, "127.0.0.1:7001"),
  token: defaulted(Secret, ""),
  allowControl: defaulted(Flag, false),
  history: section(History),
});

export type Inspect = typeof Inspect.Type;
