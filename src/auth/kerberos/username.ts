/**
 * Which principals stand for which user names, and the other way round. The rules, in their order:
 * 1. A name with escaped characters (`\@`, `\/`, `\\`, control characters) stands for nobody, nor does an anonymous
 *    client: what it looks like without its escapes may be somebody else's name.
 * 2. What `auth_to_local` of the Kerberos configuration says; without a word of it, a principal of one component in
 *    the default realm stands for that component, letter for letter: `Jane` is not `jane`.
 * 3. Where user names are not enforced, everybody else stands for the whole principal, such as `jane/admin@EXAMPLE.COM`
 *    or `jane@PARTNER.EXAMPLE.COM`: nobody can be taken for a local user.
 */
import { isPlainText } from "../../ssh/wire.ts";
import type { ProvenPrincipal } from "./library/requests.ts";

/** The user name that a principal has proven; empty when no rule fits. */
export const usernameOf = (
  { name, localName, isAnonymous }: ProvenPrincipal,
  { enforceUsername }: { readonly enforceUsername: boolean },
): string => {
  if (isAnonymous || name.includes("\\") || !isPlainText(name)) return "";
  if (localName !== undefined) return isPlainText(localName) ? localName : "";
  return enforceUsername ? "" : name;
};

/** The principal, without its realm, whose password lets a user in; undefined when there can be none. */
export const principalOf = (username: string): string | undefined =>
  /[\\/@]/.test(username) || !isPlainText(username) ? undefined : username;
