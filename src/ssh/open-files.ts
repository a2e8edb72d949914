/**
 * How near the process is to the most files that it may have open, which sockets count among. At the limit Node.js
 * closes new connections without a word to anybody, and those that are in cannot open a file any more.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";

/** Left for what connections that are in still need: a share of all, and never more than this. */
const MOST_RESERVED = 256;
const RESERVED_SHARE = 1 / 8;

export interface OpenFiles {
  /** How many there may be; infinite where the system does not say. */
  readonly limit: number;
  /** From so many open files on nobody else is let in. */
  readonly full: number;
}

/** @param limits what Linux tells of a process in `/proc/PID/limits` */
export const openFilesOf = (limits: string): OpenFiles => {
  const limit = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY);
  return { limit, full: limit - Math.min(MOST_RESERVED, Math.ceil(limit * RESERVED_SHARE)) };
};

const LIMITS = "/proc/self/limits";

/** This process's. Only Linux tells; elsewhere accepting goes on until it fails. */
export const openFiles = (): OpenFiles => openFilesOf(existsSync(LIMITS) ? readFileSync(LIMITS, "utf8") : "");

/**
 * Whether the socket is one too many. The system gives each the lowest number that is free: all that are lower
 * are in use.
 */
export const isTooMany = ({ full }: OpenFiles, socket: Socket): boolean => {
  const { _handle: handle } = socket as unknown as { readonly _handle: { readonly fd: number } | null };
  return handle !== null && handle.fd >= full;
};
