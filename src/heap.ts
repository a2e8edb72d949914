/** How V8's heap may grow. */
import { setFlagsFromString } from "node:v8";

/**
 * Lets the heap grow to two and a half times what was left of it by the last full collection before the next one.
 *
 * V8 counts every buffer that Node.js reads into against that growth until it is collected, which happens 32 MB at
 * a time. After a while of silence it gives a heap of 40 MB a tenth or a fifth to grow: each 25 MB of a transfer
 * then have the whole heap marked again, which costs three times as much as the transfer.
 */
export const letHeapGrow = (): void => setFlagsFromString("--heap-growing-percent=150");
