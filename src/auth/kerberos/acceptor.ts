/** Which key of the keytab is used. */
import { hostname } from "node:os";
import type { Kerberos } from "../../config/sections/kerberos.ts";

/** A principal, in the default realm if it names none; undefined for any of the keytab. */
export const acceptorOf = ({ acceptor }: Pick<Kerberos, "acceptor">): string | undefined => {
  switch (acceptor) {
    case "any":
      return undefined;
    case "host":
      return `host/${hostname()}`;
    default:
      return acceptor;
  }
};
