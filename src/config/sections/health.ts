/** The `health` section: the endpoint, and the client of `berth --healthcheck` (documentation of the reference: Health check). */
import { Schema } from "effect";
import { defaulted, Flag, Listen, section } from "../codecs.ts";
import { httpClientFields, httpServerFields } from "../http.ts";

export const Health = Schema.Struct({
  enable: defaulted(Flag, false),
  ...httpServerFields,
  listen: defaulted(Listen, "0.0.0.0:7000"),
  client: section(
    Schema.Struct({ ...httpClientFields, url: defaulted(Schema.String, "http://127.0.0.1:7000/") }),
  ),
});

export type Health = typeof Health.Type;
