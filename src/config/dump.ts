/** The complete effective configuration as YAML that reads back as the same configuration. */
import { Redacted, Schema } from "effect";
import { stringify } from "yaml";
import { privateKeyLabel } from "./codecs.ts";
import { isObject } from "./form.ts";
import { mapValues } from "./normalize.ts";
import { isPemText } from "./pem.ts";
import { Config } from "./schema.ts";

/**
 * @param showSecrets otherwise passwords, tokens and PEM private keys are replaced by a word; the path of a key file
 * is no secret
 */
export const dump = (config: Config, { showSecrets }: { readonly showSecrets: boolean }): string => {
  const encoded = encode(config);
  return stringify(showSecrets ? encoded : redact(config, encoded), {
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
};

const encode = Schema.encodeSync(Config);

const REDACTED = "<redacted>";

/** Walks a decoded configuration and its encoded form together: what is redacted in one is replaced in the other. */
const redact = (decoded: unknown, encoded: unknown): unknown => {
  if (Redacted.isRedacted(decoded)) {
    return encoded === "" || isKeyFile(decoded, encoded) ? encoded : REDACTED;
  }
  if (Array.isArray(decoded) && Array.isArray(encoded)) {
    return encoded.map((item, index) => redact(decoded[index], item));
  }
  if (isObject(decoded) && isObject(encoded)) {
    return mapValues(encoded, (value, key) => redact(decoded[key], value));
  }
  return typeof encoded === "string" ? withoutPassword(encoded) : encoded;
};

const isKeyFile = ({ label }: Redacted.Redacted<unknown>, encoded: unknown): boolean =>
  label === privateKeyLabel &&
  typeof encoded === "string" &&
  !isPemText(encoded) &&
  !encoded.trim().includes("\n");

/** URLs may hold a user name and password for the server; the last @ before the path ends them. */
const withoutPassword = (text: string): string =>
  text.replace(/^(\w+:\/\/[^/@:]*):[^/]*@/, `$1:${REDACTED}@`);
