/** How functions of a C library are declared and called: at once, or on a worker thread where they may have to wait. */
import koffi, { type LibraryHandle, type TypeObject } from "koffi";
import { CallFailed } from "./requests.ts";

/** An address in the library's memory; null is its NULL. */
export type Pointer = bigint | null;

/** What stands for a pointer to a pointer that a function fills in. */
export type OutPointer = [Pointer];

export type Argument = Pointer | number | string | Buffer | OutPointer | [number] | object;

/** A function that answers with a status code. */
export interface ForeignFunction {
  (...args: readonly Argument[]): number;
  readonly async: (...args: readonly unknown[]) => void;
}

export const pointer = koffi.pointer("void");
export const outPointer = koffi.out(koffi.pointer(pointer));
export const text = "str";

export type ParameterType = string | TypeObject | ReturnType<typeof koffi.out>;

/** @throws CallFailed that names the library when it is not there */
export const loadLibrary = (name: string): LibraryHandle => {
  try {
    return koffi.load(name);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CallFailed({ kind: "missing", text: `${name} cannot be loaded: ${reason}` });
  }
};

export const declare = (
  library: LibraryHandle,
  name: string,
  result: "int32" | "uint32",
  ...parameters: readonly ParameterType[]
): ForeignFunction => library.func(name, result, [...parameters]);

/** Runs a function on a worker thread. */
export const inBackground = (run: ForeignFunction, ...args: readonly Argument[]): Promise<number> =>
  new Promise((resolve, reject) => {
    run.async(...args, (error: Error | null, status: number) => (error ? reject(error) : resolve(status)));
  });

/** A struct of the library, in memory that is zero at first and doesn't move. */
export const memoryOf = (type: TypeObject): Buffer => Buffer.alloc(type.size);

/** The pointer in a struct. */
export const pointerIn = (memory: Buffer, type: TypeObject, member: string): Pointer =>
  koffi.decode(memory, koffi.offsetof(type, member), pointer);

export const textAt = (address: Pointer): string => (address === null ? "" : koffi.decode.string(address));

/** A copy of the library's bytes. */
export const bytesAt = (address: Pointer, length: number): Buffer =>
  address === null || length === 0 ? Buffer.alloc(0) : Buffer.from(koffi.view(address, length).slice(0));
