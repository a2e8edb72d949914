/** What a KDC that did not prove itself is told from: the library's codes for what a real one can't be made to do. */
import { expect, it } from "vitest";
import { proofRefused } from "../../../../src/auth/kerberos/failures.ts";
import { CallRefused } from "../../../../src/auth/kerberos/library.ts";

it.each([
  ["a KDC whose clock is another", -1765328347, "KRB_CLOCK_SKEW"],
  ["a ticket of the future", -1765328351, "KRB_CLOCK_SKEW"],
  ["a keytab that can't be read", 13, "KRB_ACCEPTOR_FAILED"],
  ["a keytab with an older key", -1765328154, "KRB_KEY_MISMATCH"],
  ["a ticket that the key does not open", -1765328353, "KRB_KDC_NOT_PROVEN"],
  ["an answer that was changed on its way", -1765328343, "KRB_KDC_NOT_PROVEN"],
])("%s is told by its code", (_, minor, code) => {
  const status = { kind: "status", major: 0, minor, text: "the library's words", token: undefined } as const;
  expect(proofRefused(new CallRefused({ status, isLost: false }))).toMatchObject({ code, level: "error" });
});
