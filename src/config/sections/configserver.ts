/** The `configserver` section (documentation of the reference: Configuration server). No `url`: no such server. */
import { Schema } from "effect";
import { defaulted, Flag } from "../codecs.ts";
import { httpClientFields } from "../http.ts";

/** `transmitSensitiveMetadata`: send it also the metadata that is marked sensitive. */
export const ConfigServer = Schema.Struct({
  ...httpClientFields,
  transmitSensitiveMetadata: defaulted(Flag, false),
});

export type ConfigServer = typeof ConfigServer.Type;
