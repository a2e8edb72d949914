/** How V8's heap may grow. */
import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap grow to two and a half times what was left of it by the last full collection before the next one.
 *
 * V8 counts every buffer that Node.js reads into against that growth until it is collected, which happens 32 MB at
 * a time. After a while of silence it lets a heap of 38 MB grow by 6 MB only: a transfer then has the whole heap
 * marked again every 25 MB, and costs three times as much.
 */
export const letHeapGrow = (): void => setFlagsFromString("--heap-growing-percent=150");
