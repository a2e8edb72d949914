/** The functions of MIT's libkrb5 that Berth calls (krb5.h), each with one library context that no two calls share. */
import koffi from "koffi";
import {
  declare,
  type ForeignFunction,
  inBackground,
  loadLibrary,
  memoryOf,
  type OutPointer,
  outPointer,
  type ParameterType,
  type Pointer,
  pointer,
  pointerIn,
  text,
  textAt,
} from "./foreign.ts";
import { CallFailed } from "./requests.ts";

/** As Debian's package libkrb5-3 names it, on which libgssapi-krb5-2 depends. */
const LIBRARY = "libkrb5.so.3";
/** KRB5_LNAME_NOTRANS, KRB5_NO_LOCALNAME: no rule makes a user name of a principal. */
const NO_LOCAL_NAME = [-1765328208, -1765328227];
const LONGEST_LOCAL_NAME_BYTES = 256;
/** KRB5_VERIFY_INIT_CREDS_OPT_AP_REQ_NOFAIL: without a key to check by, the KDC is not believed. */
const NO_PROOF_IS_A_FAILURE = 1;
/** KRB5_KT_END. */
const END_OF_KEYTAB = -1765328202;

const keyblock = koffi.struct({ magic: "int32", enctype: "int32", length: "uint32", contents: pointer });
const data = koffi.struct({ magic: "int32", length: "uint32", data: pointer });
const times = koffi.array("int32", 4);
const credentials = koffi.struct({
  magic: "int32",
  client: pointer,
  server: pointer,
  keyblock,
  times,
  isSessionKey: "uint32",
  flags: "int32",
  addresses: pointer,
  ticket: data,
  secondTicket: data,
  authorization: pointer,
});
const keytabEntry = koffi.struct({
  magic: "int32",
  principal: pointer,
  timestamp: "int32",
  version: "uint32",
  key: keyblock,
});

const load = () => {
  const library = loadLibrary(LIBRARY);
  const declared = (name: string, ...parameters: readonly ParameterType[]): ForeignFunction =>
    declare(library, `krb5_${name}`, "int32", ...parameters);
  return {
    init_context: declared("init_context", outPointer),
    free_context: declared("free_context", pointer),
    get_error_message: library.func("krb5_get_error_message", pointer, [pointer, "int32"]),
    free_error_message: declared("free_error_message", pointer, pointer),
    parse_name: declared("parse_name", pointer, text, outPointer),
    unparse_name: declared("unparse_name", pointer, pointer, outPointer),
    free_unparsed_name: declared("free_unparsed_name", pointer, pointer),
    free_principal: declared("free_principal", pointer, pointer),
    aname_to_localname: declared("aname_to_localname", pointer, pointer, "int32", pointer),
    get_default_realm: declared("get_default_realm", pointer, outPointer),
    free_default_realm: declared("free_default_realm", pointer, pointer),
    kt_resolve: declared("kt_resolve", pointer, text, outPointer),
    kt_close: declared("kt_close", pointer, pointer),
    kt_start_seq_get: declared("kt_start_seq_get", pointer, pointer, outPointer),
    kt_next_entry: declared("kt_next_entry", pointer, pointer, pointer, koffi.inout(koffi.pointer(pointer))),
    kt_end_seq_get: declared("kt_end_seq_get", pointer, pointer, koffi.inout(koffi.pointer(pointer))),
    free_keytab_entry_contents: declared("free_keytab_entry_contents", pointer, pointer),
    get_init_creds_password: declared(
      "get_init_creds_password",
      ...[pointer, pointer, pointer, pointer, pointer, pointer, "int32", pointer, pointer],
    ),
    verify_init_creds: declared(
      "verify_init_creds",
      ...[pointer, pointer, pointer, pointer, pointer, pointer],
    ),
    free_cred_contents: declared("free_cred_contents", pointer, pointer),
    cc_resolve: declared("cc_resolve", pointer, text, outPointer),
    cc_initialize: declared("cc_initialize", pointer, pointer, pointer),
    cc_store_cred: declared("cc_store_cred", pointer, pointer, pointer),
    cc_close: declared("cc_close", pointer, pointer),
    cc_destroy: declared("cc_destroy", pointer, pointer),
  };
};

let functions: ReturnType<typeof load> | undefined;

/** @throws CallFailed when the library is not there */
const libkrb5 = (): ReturnType<typeof load> => {
  functions ??= load();
  return functions;
};

/** A library context and everything that was made with it. */
export class Krb5 {
  readonly #functions = libkrb5();
  readonly #context: Pointer;
  readonly #release: (() => void)[] = [];

  /** @throws CallFailed when the configuration cannot be read */
  constructor() {
    const made: OutPointer = [null];
    const { init_context, free_context } = this.#functions;
    const status = init_context(made);
    if (status !== 0) {
      throw new CallFailed({ minor: status, text: `the Kerberos configuration cannot be used (${status})` });
    }
    this.#context = made[0];
    this.#release.push(() => free_context(this.#context));
  }

  /** Frees everything. */
  close(): void {
    for (const release of this.#release.splice(0).reverse()) release();
  }

  /** @throws CallFailed when the configuration names none */
  defaultRealm(): string {
    const { get_default_realm, free_default_realm } = this.#functions;
    const realm = this.#made(get_default_realm);
    this.#release.push(() => free_default_realm(this.#context, realm));
    return textAt(realm);
  }

  principal(name: string): Pointer {
    const { parse_name, free_principal } = this.#functions;
    const principal = this.#made(parse_name, name);
    this.#release.push(() => free_principal(this.#context, principal));
    return principal;
  }

  nameOf(principal: Pointer): string {
    const { unparse_name, free_unparsed_name } = this.#functions;
    const name = this.#made(unparse_name, principal);
    try {
      return textAt(name);
    } finally {
      free_unparsed_name(this.#context, name);
    }
  }

  /** What `auth_to_local` or the default rule makes of a principal. */
  localNameOf(principal: Pointer): string | undefined {
    const name = Buffer.alloc(LONGEST_LOCAL_NAME_BYTES);
    const status = this.#functions.aname_to_localname(this.#context, principal, name.length, name);
    if (NO_LOCAL_NAME.includes(status)) return undefined;
    this.#check(status);
    return name.toString("utf8", 0, name.indexOf(0));
  }

  keytab(path: string): Pointer {
    const { kt_resolve, kt_close } = this.#functions;
    const keytab = this.#made(kt_resolve, `FILE:${path}`);
    this.#release.push(() => kt_close(this.#context, keytab));
    return keytab;
  }

  /** The principals of a keytab, each once. */
  principalsOf(keytab: Pointer): readonly string[] {
    const { kt_start_seq_get, kt_next_entry, kt_end_seq_get, free_keytab_entry_contents } = this.#functions;
    const cursor: OutPointer = [this.#made(kt_start_seq_get, keytab)];
    const entry = memoryOf(keytabEntry);
    const names = new Set<string>();
    try {
      for (;;) {
        const status = kt_next_entry(this.#context, keytab, entry, cursor);
        if (status === END_OF_KEYTAB) return [...names];
        this.#check(status);
        names.add(this.nameOf(pointerIn(entry, keytabEntry, "principal")));
        free_keytab_entry_contents(this.#context, entry);
      }
    } finally {
      kt_end_seq_get(this.#context, keytab, cursor);
    }
  }

  /** Initial credentials by a password, which ends with a zero byte; asks the KDC. */
  async initialCredentials(client: Pointer, password: Buffer): Promise<Buffer> {
    const { get_init_creds_password, free_cred_contents } = this.#functions;
    const memory = memoryOf(credentials);
    this.#check(
      await inBackground(
        get_init_creds_password,
        ...[this.#context, memory, client, password, null, null, 0, null, null],
      ),
    );
    this.#release.push(() => free_cred_contents(this.#context, memory));
    return memory;
  }

  clientOf(memory: Buffer): Pointer {
    return pointerIn(memory, credentials, "client");
  }

  /** Whether the KDC that gave credentials knows a key of our keytab; asks the KDC. Any of host's keys without a server. */
  async verifyCredentials(memory: Buffer, server: Pointer, keytab: Pointer): Promise<void> {
    const options = Buffer.from(Int32Array.of(NO_PROOF_IS_A_FAILURE, 1).buffer);
    this.#check(
      await inBackground(
        this.#functions.verify_init_creds,
        ...[this.#context, memory, server, keytab, null, options],
      ),
    );
  }

  /** Writes a credential cache. */
  storeCredentials(memory: Buffer, path: string): void {
    const { cc_resolve, cc_initialize, cc_store_cred, cc_close } = this.#functions;
    const cache = this.#made(cc_resolve, `FILE:${path}`);
    try {
      this.#check(cc_initialize(this.#context, cache, this.clientOf(memory)));
      this.#check(cc_store_cred(this.#context, cache, memory));
    } finally {
      cc_close(this.#context, cache);
    }
  }

  /** Overwrites a credential cache's file and removes it. */
  destroyCredentials(path: string): void {
    const { cc_resolve, cc_destroy } = this.#functions;
    this.#check(cc_destroy(this.#context, this.#made(cc_resolve, `FILE:${path}`)));
  }

  #made(make: ForeignFunction, ...args: readonly (Pointer | string)[]): Pointer {
    const made: OutPointer = [null];
    this.#check(make(this.#context, ...args, made));
    return made[0];
  }

  #check(status: number): void {
    if (status === 0) return;
    const { get_error_message, free_error_message } = this.#functions;
    const words: Pointer = get_error_message(this.#context, status);
    const sentence = textAt(words);
    free_error_message(this.#context, words);
    throw new CallFailed({ minor: status, text: sentence });
  }
}
