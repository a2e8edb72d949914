/** Encoded terminal modes (RFC 4254 section 8, RFC 8160). */
import { Reader, uint32 } from "./wire.ts";

const names: ReadonlyMap<number, string> = new Map([
  [1, "VINTR"],
  [2, "VQUIT"],
  [3, "VERASE"],
  [4, "VKILL"],
  [5, "VEOF"],
  [6, "VEOL"],
  [7, "VEOL2"],
  [8, "VSTART"],
  [9, "VSTOP"],
  [10, "VSUSP"],
  [11, "VDSUSP"],
  [12, "VREPRINT"],
  [13, "VWERASE"],
  [14, "VLNEXT"],
  [15, "VFLUSH"],
  [16, "VSWTCH"],
  [17, "VSTATUS"],
  [18, "VDISCARD"],
  [30, "IGNPAR"],
  [31, "PARMRK"],
  [32, "INPCK"],
  [33, "ISTRIP"],
  [34, "INLCR"],
  [35, "IGNCR"],
  [36, "ICRNL"],
  [37, "IUCLC"],
  [38, "IXON"],
  [39, "IXANY"],
  [40, "IXOFF"],
  [41, "IMAXBEL"],
  [42, "IUTF8"],
  [50, "ISIG"],
  [51, "ICANON"],
  [52, "XCASE"],
  [53, "ECHO"],
  [54, "ECHOE"],
  [55, "ECHOK"],
  [56, "ECHONL"],
  [57, "NOFLSH"],
  [58, "TOSTOP"],
  [59, "IEXTEN"],
  [60, "ECHOCTL"],
  [61, "ECHOKE"],
  [62, "PENDIN"],
  [70, "OPOST"],
  [71, "OLCUC"],
  [72, "ONLCR"],
  [73, "OCRNL"],
  [74, "ONOCR"],
  [75, "ONLRET"],
  [90, "CS7"],
  [91, "CS8"],
  [92, "PARENB"],
  [93, "PARODD"],
  [128, "TTY_OP_ISPEED"],
  [129, "TTY_OP_OSPEED"],
]);

const END = 0;
/** Opcodes from here on have arguments of unknown length: reading stops. */
const FIRST_UNDEFINED = 160;

/** Opcode names to arguments. Opcodes without a name are left out. */
export const readTerminalModes = (encoded: Buffer): Readonly<Record<string, number>> => {
  const reader = new Reader(encoded, 0);
  const modes: Record<string, number> = {};
  while (!reader.isAtEnd) {
    const opcode = reader.byte();
    if (opcode === END || opcode >= FIRST_UNDEFINED) break;
    const argument = reader.uint32();
    const name = names.get(opcode);
    if (name !== undefined) modes[name] = argument;
  }
  return modes;
};

const opcodes: ReadonlyMap<string, number> = new Map([...names].map(([opcode, name]) => [name, opcode]));

/** The inverse: what a client sends. */
export const writeTerminalModes = (modes: Readonly<Record<string, number>>): Buffer =>
  Buffer.concat([
    ...Object.entries(modes).flatMap(([name, argument]) => {
      const opcode = opcodes.get(name);
      return opcode === undefined ? [] : [Buffer.of(opcode), uint32(argument)];
    }),
    Buffer.of(END),
  ]);
