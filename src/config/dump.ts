/** The complete effective configuration as YAML that reads back as the same configuration. */
import { Redacted, Schema } from "effect";
import { stringify } from "yaml";
import { privateKeyLabel, variableLabel } from "./codecs.ts";
import { isObject } from "./form.ts";
import { mapValues } from "./normalize.ts";
import { isPemText } from "./pem.ts";
import { Config } from "./schema.ts";

/**
 * @param showSecrets otherwise passwords, tokens, PEM private keys, values of environment variables and what URLs carry
 * besides a place are replaced by a word; the path of a key file is no secret
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
    if (decoded.label === variableLabel) return String(encoded).replace(/=.*/s, `=${REDACTED}`);
    return encoded === "" || isKeyFile(decoded, encoded) ? encoded : REDACTED;
  }
  if (Array.isArray(decoded) && Array.isArray(encoded)) {
    return encoded.map((item, index) => redact(decoded[index], item));
  }
  if (isObject(decoded) && isObject(encoded)) {
    return mapValues(encoded, (value, key) =>
      key === "env" && Array.isArray(value) ? value.map(withoutValue) : redact(decoded[key], value),
    );
  }
  return typeof encoded === "string" ? withoutCredentials(encoded) : encoded;
};

/** The Kubernetes API's EnvVar, in a pod's spec that is passed on as it is. */
const withoutValue = (variable: unknown): unknown =>
  isObject(variable) && "value" in variable ? { ...variable, value: REDACTED } : variable;

const isKeyFile = ({ label }: Redacted.Redacted<unknown>, encoded: unknown): boolean =>
  label === privateKeyLabel &&
  typeof encoded === "string" &&
  !isPemText(encoded) &&
  !encoded.trim().includes("\n");

/**
 * URLs may hold a user name and password for the server (the last @ before the path ends them), and tokens in their
 * query.
 */
const withoutCredentials = (text: string): string =>
  text
    .replace(/^(\w+:\/\/[^/@:]*):[^/]*@/, `$1:${REDACTED}@`)
    .replace(/^(\w+:\/\/[^?]*)\?.+/s, `$1?${REDACTED}`);
