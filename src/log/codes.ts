/**
 * The message codes that Berth logs, by area: what operators grep for and alert on. Codes of the reference mean what
 * they mean there; codes of Berth's own stand apart. Whoever logs a new code adds it in `codes/` with a line that
 * explains it: the tests look every code of the sources up, and documentation is generated from here.
 */
import type { Area } from "./codes/area.ts";
import * as backends from "./codes/backends.ts";
import * as connections from "./codes/connections.ts";
import * as daemon from "./codes/daemon.ts";
import * as kerberos from "./codes/kerberos.ts";
import * as oauth2 from "./codes/oauth2.ts";

export type { Area } from "./codes/area.ts";

export const areas = {
  ...daemon,
  ...connections,
  ...kerberos,
  ...oauth2,
  ...backends,
} as const satisfies Readonly<Record<string, Area>>;

type Areas = typeof areas;

/** Every code of the catalogue. */
export type MessageCode = {
  [Name in keyof Areas]: keyof Areas[Name]["reference"] | keyof Areas[Name]["own"];
}[keyof Areas];

const allCodes = Object.values<Area>(areas).flatMap(({ reference, own }) => [
  ...Object.keys(reference),
  ...Object.keys(own),
]);

/** The codes as constants: `codes.AUTH_FAILED`. */
export const codes = Object.fromEntries(allCodes.map((code) => [code, code])) as {
  readonly [Code in MessageCode]: Code;
};
