/** Which version of Berth this is. */
import { readFileSync } from "node:fs";

/** As package.json has it. */
export const version = (): string => {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest
    ? String(manifest.version)
    : "";
};
