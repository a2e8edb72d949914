/** A login with a password: initial credentials of the KDC, and the proof that it was the true KDC. */
import { Krb5 } from "./krb5.ts";
import { CallFailed, type LibraryOptions, type ProvenPrincipal } from "./requests.ts";
import { readCache } from "./scratch.ts";

const NAME_OF_HOSTS = "host/";

export class PasswordSession {
  readonly #options: LibraryOptions;
  readonly #krb5 = new Krb5();
  #credentials: Buffer | undefined;

  constructor(options: LibraryOptions) {
    this.#options = options;
  }

  async getCredentials(principal: string, password: Uint8Array): Promise<ProvenPrincipal> {
    const krb5 = this.#krb5;
    const zeroTerminated = Buffer.alloc(password.length + 1);
    zeroTerminated.set(password);
    try {
      this.#credentials = await krb5.initialCredentials(krb5.principal(principal), zeroTerminated);
    } finally {
      zeroTerminated.fill(0);
      password.fill(0);
    }
    const client = krb5.clientOf(this.#credentials);
    return { name: krb5.nameOf(client), localName: krb5.localNameOf(client), isAnonymous: false };
  }

  async proveKdc(): Promise<void> {
    const krb5 = this.#krb5;
    const keytab = krb5.keytab(this.#options.keytab);
    const server = this.#options.acceptor ?? this.#anyServer(krb5.principalsOf(keytab));
    await krb5.verifyCredentials(
      this.#obtained,
      server === undefined ? null : krb5.principal(server),
      keytab,
    );
  }

  takeCredentials(): Uint8Array {
    const credentials = this.#obtained;
    return readCache(this.#options.scratch, (path) => this.#krb5.storeCredentials(credentials, path));
  }

  close(): void {
    this.#krb5.close();
  }

  /** Without a name the library tries the keys of `host`; another service's have to be named. */
  #anyServer(principals: readonly string[]): string | undefined {
    return principals.some((name) => name.startsWith(NAME_OF_HOSTS)) ? undefined : principals[0];
  }

  get #obtained(): Buffer {
    if (this.#credentials === undefined) throw new CallFailed({ text: "there are no credentials" });
    return this.#credentials;
  }
}
