/**
 * Starts a program in a container through the container's own shell. Exec in Kubernetes (PodExecOptions) knows neither
 * environment nor process IDs nor, with `v4.channel.k8s.io`, an end of standard input; a small script gives all three:
 *
 * 1. It reads its orders from standard input (so that no variable's value is in a URL, an audit log or `ps`):
 *    a line `-text` and a last line `=text` for each variable, `NAME=value` with `\0ooo` for unusual bytes; then `r`
 *    (the program's input follows as it is) or `f` (it follows in frames).
 * 2. It sets the terminal's size and modes where there is one, so that no program sees the first size too late.
 * 3. It prints one line on standard output, `NONCE MODE PID GROUP AGENT`, and becomes the program. Only as a container's
 *    first process it stays its parent: the kernel protects process 1 from signals, and its group can't be signalled.
 *
 * Frames, mode `d` (the container has a `dd` that can): a line with a number of bytes, then that many bytes. Mode `p`
 * (nothing but the shell): lines `=text` with `\0ooo` escapes. `0` ends the program's input. A process beside the
 * program takes the frames apart into a pipe, which has an end.
 *
 * With frames the program's end is announced, too: a line `NONCE STATUS` on standard error. No input is sent after it
 * but `q`, which the script waits for. API servers and kubelets that pass a WebSocket on drop the end of the output,
 * status included, when they fail to pass on input at the same moment.
 */

import type { OutputFilter } from "./channels.ts";

/** How the program's input goes over the wire: as it is, in frames for `dd`, or in lines for the shell's `printf`. */
export type InputMode = "raw" | "dd" | "printf";

/** What the script says about the program it is about to become. */
export interface Started {
  readonly input: InputMode;
  /** The program's process ID in the container. */
  readonly pid: number;
  /** The process group of everything the program starts; 0 when it is not known. */
  readonly group: number;
  /** Whether the guest agent is in the image. */
  readonly agent: boolean;
}

/**
 * Arguments: nonce, terminal settings (words for stty, each group ended by `;`: one that an old stty doesn't know
 * must not cost the others), path of the guest agent, then the program. Variables begin with two underscores and are
 * not exported. `set -f`: `^?` is a key and not a file name. `(exec …)`: otherwise some shells tell on the program's
 * standard error by which signal it ended.
 */
const SCRIPT = `set -f
__n=$1 __s=$2 __a=$3 __b= __g=0 __h=0
shift 3
while :; do
IFS= read -r __l || exit 126
case $__l in
-*) __b=$__b\${__l#-};;
=*) __l=$(printf '%bx' "$__b\${__l#=}"); export "\${__l%x}"; __b=;;
*) break;;
esac
done
__m=$__l
IFS='; '
[ -z "$__s" ] || stty $__s 2>/dev/null || while [ -n "$__s" ]; do stty \${__s%%;*} 2>/dev/null; __s=\${__s#*;}; done
read -r __l 2>/dev/null </proc/$$/stat && __l=\${__l##*) } && __l=\${__l#* } && __l=\${__l#* } && [ "\${__l%% *}" = $$ ] && __g=$$
[ -n "$__a" ] && [ -x "$__a" ] && __h=1
if [ "$__m" = r ] && [ $$ != 1 ]; then
echo "$__n r $$ $__g $__h"
exec "$@"
fi
[ $$ = 1 ] && __g=0
__c='echo "$1 $2 $$ $3 $4"; shift 4; exec "$@"'
exec 3<&0 4>&2 2>/dev/null
trap : HUP INT QUIT USR1 USR2 ALRM TERM
if [ "$__m" = r ]; then
(exec /bin/sh -c "$__c" sh "$__n" r $__g $__h "$@" 2>&4 3<&- 4>&-)
exit
fi
__m=p
[ "$(printf x | dd bs=1 count=1 iflag=fullblock)" = x ] && __m=d
{
trap '' HUP INT QUIT PIPE USR1 USR2 ALRM TERM
while IFS= read -r __l; do
case $__l in
q) break;;
0) exec >/dev/null;;
=*) printf '%b' "\${__l#=}" || exec >/dev/null;;
*) dd bs="$__l" count=1 iflag=fullblock || exec >/dev/null;;
esac
done
} <&3 3<&- 4>&- | {
trap : HUP INT QUIT USR1 USR2 ALRM TERM
exec 3<&-
(exec /bin/sh -c "$__c" sh "$__n" $__m $__g $__h "$@" 2>&4 4>&-)
__l=$?
exec <&-
echo "$__n $__l" >&4
exit $__l
}`;

/** The words to start `program` with. `terminal` and `agentPath` may be empty. */
export const launchCommand = (
  nonce: string,
  terminal: string,
  agentPath: string,
  program: readonly string[],
): readonly string[] => ["/bin/sh", "-c", SCRIPT, "sh", nonce, terminal, agentPath, ...program];

/** Longest line sent to the script: terminals cut lines at 4096 bytes. */
const LINE_LENGTH = 1000;

/**
 * The orders for the script. Variables whose names a shell can't hold are left out; `unnameable` lists them.
 * `framed` asks for input in frames.
 */
export const launchOrders = (environment: Readonly<Record<string, string>>, framed: boolean): Buffer => {
  const lines = Object.entries(environment)
    .filter(([name]) => isNameable(name))
    .flatMap(([name, value]) => split(`${name}=${escaped(Buffer.from(value))}`));
  return Buffer.from([...lines, framed ? "f" : "r", ""].join("\n"), "latin1");
};

/** Names that a POSIX shell can export. */
export const isNameable = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);

const split = (text: string): string[] => {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > LINE_LENGTH) {
    // An escape must not be torn: its five characters stay on one line.
    const backslash = rest.lastIndexOf("\\", LINE_LENGTH - 1);
    const end = backslash > LINE_LENGTH - 5 ? backslash : LINE_LENGTH;
    lines.push(`-${rest.slice(0, end)}`);
    rest = rest.slice(end);
  }
  return [...lines, `=${rest}`];
};

const escapes: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const plain = byte > 0x20 && byte < 0x7f && byte !== 0x5c;
  return plain || byte === 0x20 ? String.fromCharCode(byte) : `\\0${byte.toString(8).padStart(3, "0")}`;
});

/** Bytes as `printf '%b'` reads them, in one line of printable ASCII. */
const escaped = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += escapes[byte];
  return text;
};

/** Largest frame for `dd`: it holds the whole frame in memory. */
const FRAME_LENGTH = 1 << 18;

/** Bytes per line for the shell's `printf`; each may become five characters. */
const PRINTF_LENGTH = 512;

/** Writes input for a program in the way its script reads it. */
export const encodeInput = (mode: InputMode, chunk: Buffer): Buffer => {
  switch (mode) {
    case "raw":
      return chunk;
    case "dd":
      return Buffer.concat(
        pieces(chunk, FRAME_LENGTH).flatMap((piece) => [Buffer.from(`${piece.length}\n`), piece]),
      );
    case "printf":
      return Buffer.from(
        pieces(chunk, PRINTF_LENGTH)
          .map((piece) => `=${escaped(piece)}\n`)
          .join(""),
        "latin1",
      );
  }
};

/** What ends the program's input; undefined when bytes can't say it. */
export const endOfInput = (mode: InputMode): Buffer | undefined =>
  mode === "raw" ? undefined : Buffer.from("0\n");

/** Said once to the script of framed input after it has told the program's end. */
export const QUIT = Buffer.from("q\n");

const pieces = (chunk: Buffer, length: number): Buffer[] =>
  Array.from({ length: Math.ceil(chunk.length / length) }, (_, index) =>
    chunk.subarray(index * length, (index + 1) * length),
  );

/** Reads the script's line, and on a terminal the echo of its orders before it; what comes after is the program's. */
export class Announcement implements OutputFilter {
  /** Settles with what the line says, or undefined when the output ended without it. */
  readonly made: Promise<Started | undefined>;
  readonly #nonce: string;
  #resolve: (started: Started | undefined) => void = () => undefined;
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor(nonce: string) {
    this.#nonce = nonce;
    this.made = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  take(bytes: Buffer): Buffer {
    if (this.#held === undefined) return bytes;
    this.#held = Buffer.concat([this.#held, bytes]);
    const start = this.#held.indexOf(`${this.#nonce} `);
    const end = start < 0 ? -1 : this.#held.indexOf("\n", start);
    if (end < 0) return Buffer.alloc(0);
    const rest = this.#held.subarray(end + 1);
    const started = read(this.#held.toString("latin1", start, end));
    this.#held = undefined;
    this.#resolve(started);
    return rest;
  }

  /** What a launcher that never came to its line said is for the log and not for the user: see `unread`. */
  end(): Buffer {
    this.#resolve(undefined);
    return Buffer.alloc(0);
  }

  get unread(): string {
    return this.#held?.toString() ?? "";
  }
}

const inputModes: Readonly<Record<string, InputMode>> = { r: "raw", d: "dd", p: "printf" };

const read = (line: string): Started => {
  const [, mode = "", pid, group, agent] = line.trimEnd().split(" ");
  return { input: inputModes[mode] ?? "raw", pid: Number(pid), group: Number(group), agent: agent === "1" };
};

/** Reads the line by which framed input's script tells the program's end, out of standard error. */
export class Farewell implements OutputFilter {
  /** Settles with the exit status, or undefined when the output ended without it. */
  readonly said: Promise<number | undefined>;
  readonly #start: Buffer;
  #resolve: (status: number | undefined) => void = () => undefined;
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(nonce: string) {
    this.#start = Buffer.from(`${nonce} `);
    this.said = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  take(bytes: Buffer): Buffer {
    if (this.#isOver) return bytes;
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const start = all.indexOf(this.#start);
    const end = start < 0 ? -1 : all.indexOf("\n", start);
    if (end >= 0) {
      this.#isOver = true;
      this.#held = Buffer.alloc(0);
      this.#resolve(Number(all.toString("latin1", start + this.#start.length, end)));
      // What the program left running may go on writing.
      return Buffer.concat([all.subarray(0, start), all.subarray(end + 1)]);
    }
    const keep = start >= 0 ? all.length - start : this.#overlap(all);
    this.#held = all.subarray(all.length - keep);
    return all.subarray(0, all.length - keep);
  }

  end(): Buffer {
    this.#resolve(undefined);
    return this.#held;
  }

  /** How many of the last bytes may be the beginning of the line. */
  #overlap(all: Buffer): number {
    for (let length = Math.min(this.#start.length - 1, all.length); length > 0; length--) {
      if (all.subarray(all.length - length).equals(this.#start.subarray(0, length))) return length;
    }
    return 0;
  }
}
