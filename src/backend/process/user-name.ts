/** A user's name as a file's name: recognizable, safe, and different for different names. */
import { createHash } from "node:crypto";

const LONGEST = 64;

/**
 * Letters, digits and `_ . @ + -` stay, everything else becomes the `%XX` of its UTF-8 bytes, as does a dot or a
 * hyphen in front. Long names end in a digest.
 *
 * @example safeUserName("jane") // "jane"
 * @example safeUserName("../etc") // "%2E.%2Fetc"
 */
export const safeUserName = (name: string): string => {
  const safe = [...Buffer.from(name)]
    .map((byte, index) => {
      const character = String.fromCharCode(byte);
      const allowed = index === 0 ? /[A-Za-z0-9_]/ : /[A-Za-z0-9_.@+-]/;
      return allowed.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
  if (safe === "") return "%";
  return safe.length <= LONGEST
    ? safe
    : `${safe.slice(0, LONGEST)}~${createHash("sha256").update(name).digest("hex")}`;
};
