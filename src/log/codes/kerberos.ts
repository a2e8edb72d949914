/** The codes of logins by Kerberos. */
import { area } from "./area.ts";

export const kerberos = area(
  "Kerberos",
  {
    KRB_VERIFY_ERROR: "A ticket could not be verified for a reason that has no code of its own.",
    KRB_USERNAME_DOES_NOT_MATCH:
      "A principal was proven that does not stand for the user name that was asked for, or for no user name at all.",
    KRB_BACKEND_ERROR: "No KDC could be reached, or it gave no answer that can be used.",
  },
  {
    KRB_AVAILABLE: "The Kerberos library, its configuration and the keytab can be used.",
    KRB_USERNAME_NOT_ENFORCED:
      "Nobody decides about user names, for enforceUsername is off and there is no authorization webhook: every Kerberos user can log in as every user.",
    KRB_LIBRARY_MISSING:
      "The configuration asks for Kerberos and MIT's libraries are not installed (Debian package libgssapi-krb5-2).",
    KRB_LIBRARY_FAILED: "The process that holds the Kerberos library ended; the next login starts it again.",
    KRB_ACCEPTOR_FAILED:
      "This server could not check a login because of its own files: the replay cache, whose path KRB_AVAILABLE names, or the keytab.",
    KRB_TOKEN_MALFORMED: "A client sent a Kerberos token that is cut off, or is none.",
    KRB_TOKEN_REPLAYED:
      "A Kerberos token was used a second time: somebody recorded it, or a client is broken.",
    KRB_CLOCK_SKEW: "A clock, the client's or the KDC's, differs from this server's by more than clockSkew.",
    KRB_TICKET_EXPIRED: "A client used a ticket that has expired.",
    KRB_KEY_MISMATCH:
      "A ticket, a client's or the one by which the KDC proves itself, is for a key that is not in the keytab: the keytab is out of date, the ticket is, or it is for another acceptor. A false KDC can look like this too.",
    KRB_MIC_INVALID:
      "A client did not sign its request, or signed another one: its ticket may have been taken from another connection.",
    KRB_BACKEND_TIMEOUT: "A KDC took too long to answer.",
    KRB_KDC_NOT_PROVEN:
      "Whoever answered in the KDC's place knows the server by another key than the keytab's of the same version, or not at all: it is a false KDC, or the keytab is another realm's.",
    KRB_PASSWORD_EXPIRED: "A user's password has expired.",
    KRB_ACCOUNT_UNUSABLE: "The KDC knows a user and does not let them log in.",
    KRB_FORWARD_ERROR:
      "A user's credentials could not be prepared for their environment; they are logged in without.",
  },
);
