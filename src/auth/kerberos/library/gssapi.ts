/** The functions of MIT's libgssapi_krb5 that Berth calls (RFC 2744, and the extensions of gssapi_ext.h). */
import koffi from "koffi";
import {
  type Argument,
  bytesAt,
  declare,
  type ForeignFunction,
  loadLibrary,
  type OutPointer,
  outPointer,
  type ParameterType,
  type Pointer,
  pointer,
} from "./foreign.ts";
import { CallFailed } from "./requests.ts";

/** As Debian's package libgssapi-krb5-2 names it. */
const LIBRARY = "libgssapi_krb5.so.2";

/** RFC 2744 appendix A. */
const GSS_C_ACCEPT = 2;
const GSS_C_INITIATE = 1;
const GSS_C_INDEFINITE = 0xffffffff;
const GSS_C_DELEG_FLAG = 1;
const GSS_C_INTEG_FLAG = 32;
const GSS_C_ANON_FLAG = 64;
const GSS_C_GSS_CODE = 1;
const GSS_C_MECH_CODE = 2;
const GSS_S_CONTINUE_NEEDED = 1;
/** What the library says when it knows no more than the major status. */
const NO_REASON = "Success";
/** Where the routine errors are in a major status; the bits below only inform. */
const isError = (major: number): boolean => major > 0xffff;

const bufferType = koffi.struct({ length: "size_t", value: pointer });
const oidType = koffi.struct({ length: "uint32", elements: pointer });
const oidSetType = koffi.struct({ count: "size_t", elements: koffi.pointer(oidType) });
const keyValueType = koffi.struct({ key: "str", value: "str" });
const storeType = koffi.struct({ count: "uint32", elements: koffi.pointer(keyValueType) });

/** 1.2.840.113554.1.2.2, the mechanism of Kerberos V5. */
const KERBEROS = Buffer.from("2a864886f712010202", "hex");
/** GSS_KRB5_NT_PRINCIPAL_NAME. */
const PRINCIPAL_NAME = Buffer.from("2a864886f71201020201", "hex");

const oid = (elements: Buffer) => ({ length: elements.length, elements });
const kerberos = oid(KERBEROS);
const onlyKerberos = { count: 1, elements: [kerberos] };
const store = (entries: Readonly<Record<string, string>>) => ({
  count: Object.keys(entries).length,
  elements: Object.entries(entries).map(([key, value]) => ({ key, value })),
});

interface FilledBuffer {
  length?: number;
  value?: Pointer;
}

const load = () => {
  const library = loadLibrary(LIBRARY);
  const minor = koffi.out(koffi.pointer("uint32"));
  const buffer = koffi.pointer(bufferType);
  const outBuffer = koffi.out(buffer);
  const outNumber = koffi.out(koffi.pointer("uint32"));
  const oidPointer = koffi.pointer(oidType);
  const handle = koffi.inout(koffi.pointer(pointer));
  const storePointer = koffi.pointer(storeType);
  const declared = (name: string, ...parameters: readonly ParameterType[]): ForeignFunction =>
    declare(library, `gss_${name}`, "uint32", minor, ...parameters);
  return {
    import_name: declared("import_name", buffer, oidPointer, outPointer),
    display_name: declared("display_name", pointer, outBuffer, outPointer),
    release_name: declared("release_name", handle),
    acquire_cred_from: declared(
      "acquire_cred_from",
      ...[pointer, "uint32", koffi.pointer(oidSetType), "int32", storePointer, outPointer, pointer, pointer],
    ),
    release_cred: declared("release_cred", handle),
    accept_sec_context: declared(
      "accept_sec_context",
      ...[handle, pointer, buffer, pointer, outPointer, outPointer, outBuffer, outNumber, outNumber],
      outPointer,
    ),
    delete_sec_context: declared("delete_sec_context", handle, pointer),
    verify_mic: declared("verify_mic", pointer, buffer, buffer, pointer),
    store_cred_into: declared(
      "store_cred_into",
      ...[pointer, "int32", oidPointer, "uint32", "uint32", storePointer, pointer, pointer],
    ),
    release_buffer: declared("release_buffer", koffi.inout(buffer)),
    display_status: declared("display_status", "uint32", "int32", oidPointer, handle, outBuffer),
  };
};

let functions: ReturnType<typeof load> | undefined;

/** @throws CallFailed when the library is not there */
const libgssapi = (): ReturnType<typeof load> => {
  functions ??= load();
  return functions;
};

/** One security context on the acceptor's side. Nothing of this asks a KDC. */
export class AcceptorContext {
  readonly #functions = libgssapi();
  readonly #credential: OutPointer = [null];
  readonly #context: OutPointer = [null];
  readonly #client: OutPointer = [null];
  readonly #delegated: OutPointer = [null];
  #flags = 0;

  /** @throws CallFailed when the keytab has no key for the acceptor */
  constructor(keytab: string, acceptor: string | undefined) {
    const { import_name, release_name, acquire_cred_from } = this.#functions;
    const name: OutPointer = [null];
    if (acceptor !== undefined) {
      const value = Buffer.from(acceptor);
      this.#run(import_name, { length: value.length, value }, oid(PRINCIPAL_NAME), name);
    }
    try {
      this.#run(
        acquire_cred_from,
        ...[name[0], GSS_C_INDEFINITE, onlyKerberos, GSS_C_ACCEPT, store({ keytab: `FILE:${keytab}` })],
        ...[this.#credential, null, null],
      );
    } finally {
      if (name[0] !== null) release_name([0], name);
    }
  }

  close(): void {
    const { release_cred, release_name, delete_sec_context } = this.#functions;
    delete_sec_context([0], this.#context, null);
    release_name([0], this.#client);
    release_cred([0], this.#delegated);
    release_cred([0], this.#credential);
  }

  /** Whether it is established now, and what the client has to get. @throws CallFailed, with the client's error token */
  accept(token: Uint8Array): { readonly isEstablished: boolean; readonly token: Uint8Array | undefined } {
    const output: FilledBuffer = {};
    const flags: [number] = [0];
    const value = Buffer.from(token);
    const minor: [number] = [0];
    // A second round would fill these in again.
    this.#functions.release_name([0], this.#client);
    this.#functions.release_cred([0], this.#delegated);
    const major = this.#functions.accept_sec_context(
      ...[minor, this.#context, this.#credential[0], { length: value.length, value }, null, this.#client],
      ...[[null], output, flags, [0], this.#delegated],
    );
    const answer = this.#taken(output);
    const reply = answer.length === 0 ? undefined : answer;
    if (isError(major)) throw this.#failed(major, minor[0], reply);
    this.#flags = flags[0];
    const isEstablished = (major & GSS_S_CONTINUE_NEEDED) === 0;
    if (isEstablished && (this.#flags & GSS_C_INTEG_FLAG) === 0) {
      throw new CallFailed({ text: "the client's context has no integrity protection" });
    }
    return { isEstablished, token: reply };
  }

  /** The client's principal, escaped. */
  get client(): string {
    const name: FilledBuffer = {};
    this.#run(this.#functions.display_name, this.#client[0], name, [null]);
    return this.#taken(name).toString("utf8");
  }

  get isAnonymous(): boolean {
    return (this.#flags & GSS_C_ANON_FLAG) !== 0;
  }

  get hasDelegated(): boolean {
    return (this.#flags & GSS_C_DELEG_FLAG) !== 0 && this.#delegated[0] !== null;
  }

  /** @throws CallFailed unless the code is over the data, by this context's initiator, and not seen before */
  verifyMic(signed: Uint8Array, mic: Uint8Array): void {
    const [data, code] = [Buffer.from(signed), Buffer.from(mic)];
    this.#run(
      this.#functions.verify_mic,
      ...[this.#context[0], { length: data.length, value: data }, { length: code.length, value: code }, null],
    );
  }

  /** Writes the delegated credentials into a credential cache. */
  storeDelegated(path: string): void {
    this.#run(
      this.#functions.store_cred_into,
      ...[this.#delegated[0], GSS_C_INITIATE, kerberos, 1, 0, store({ ccache: `FILE:${path}` }), null, null],
    );
  }

  #run(run: ForeignFunction, ...args: readonly Argument[]): void {
    const minor: [number] = [0];
    const major = run(minor, ...args);
    // A replayed or late token of an established context is told by the bits that only inform.
    if (major !== 0) throw this.#failed(major, minor[0], undefined);
  }

  #failed(major: number, minor: number, token: Uint8Array | undefined): CallFailed {
    const reason = minor === 0 ? NO_REASON : this.#sentence(minor, GSS_C_MECH_CODE);
    const text = reason === NO_REASON ? this.#sentence(major, GSS_C_GSS_CODE) : reason;
    return new CallFailed({ major, minor: minor | 0, text, token });
  }

  /** The library keeps what it knows beyond the code for the thread that called it: this one. */
  #sentence(status: number, type: number): string {
    const words: FilledBuffer = {};
    const major = this.#functions.display_status([0], status, type, kerberos, [0n], words);
    return isError(major) ? String(status) : this.#taken(words).toString("utf8");
  }

  #taken(filled: FilledBuffer): Buffer {
    const bytes = bytesAt(filled.value ?? null, Number(filled.length ?? 0));
    if (filled.value !== undefined && filled.value !== null) this.#functions.release_buffer([0], filled);
    return bytes;
  }
}
