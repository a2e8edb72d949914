/** The JSON of the configuration server's webhook (docs/reference/configserver.md of the reference). */
import { Schema } from "effect";
import { answerFields, IdentityJson } from "../metadata.ts";

export const ConfigRequest = IdentityJson;

/** The configuration itself is decoded by src/config/, which knows what a server may set. */
export const ConfigAnswer = Schema.Struct({ config: Schema.optionalKey(Schema.Unknown), ...answerFields });
