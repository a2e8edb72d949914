/** Credential caches on their way through a file, which is all that the library writes: for this user only, and soon gone. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Krb5 } from "./krb5.ts";

/** What `write` puts into a credential cache. The file is overwritten and removed whatever happens. */
export const readCache = (directory: string, write: (path: string) => void): Uint8Array => {
  const path = join(directory, randomUUID());
  const krb5 = new Krb5();
  try {
    write(path);
    return readFileSync(path);
  } finally {
    try {
      krb5.destroyCredentials(path);
    } finally {
      krb5.close();
    }
  }
};
