/** A login with a ticket: the acceptor's side of a security context, and what was delegated through it. */
import { AcceptorContext } from "./gssapi.ts";
import { Krb5 } from "./krb5.ts";
import type { LibraryCalls, LibraryOptions, ProvenPrincipal } from "./requests.ts";
import { readCache } from "./scratch.ts";

export class TicketSession {
  readonly #options: LibraryOptions;
  readonly #context: AcceptorContext;

  constructor(options: LibraryOptions) {
    this.#options = options;
    this.#context = new AcceptorContext(options.keytab, options.acceptor);
  }

  acceptToken(input: Uint8Array): LibraryCalls["acceptToken"]["output"] {
    const { isEstablished, token } = this.#context.accept(input);
    return { token, principal: isEstablished ? this.#client() : undefined };
  }

  verifyMic(data: Uint8Array, mic: Uint8Array): void {
    this.#context.verifyMic(data, mic);
  }

  takeCredentials(): Uint8Array | undefined {
    return this.#context.hasDelegated
      ? readCache(this.#options.scratch, (path) => this.#context.storeDelegated(path))
      : undefined;
  }

  close(): void {
    this.#context.close();
  }

  #client(): ProvenPrincipal {
    const name = this.#context.client;
    if (this.#context.isAnonymous) return { name, localName: undefined, isAnonymous: true };
    const krb5 = new Krb5();
    try {
      return { name, localName: krb5.localNameOf(krb5.principal(name)), isAnonymous: false };
    } finally {
      krb5.close();
    }
  }
}
