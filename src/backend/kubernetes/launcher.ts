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
 * Frames are taken apart by a process beside the program into a pipe, which has an end. A frame is a line `=text` with
 * `\0ooo` escapes, or, in a container whose `dd` can, a line with a number of bytes and that many bytes. Whether it can
 * is looked for when the line `?` asks; `NONCE d` or `NONCE p` (nothing but the shell's `printf`) on standard error
 * answers. A line `0` ends the input and is the last that is sent.
 *
 * With frames the program's end is announced, too: a line `NONCE STATUS` on standard error. No input is sent after it
 * but the last line, which the script waits for. API servers and kubelets that pass a WebSocket on drop the end of the
 * output, status included, when they fail to pass on input at the same moment.
 */

import type { OutputFilter } from "./channels.ts";

/** How the program's input goes over the wire: as it is, or in frames. */
export type InputMode = "raw" | "framed";

/** Who takes frames apart that are longer than a line. */
export type FrameReader = "dd" | "printf";

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
 * not exported. `set -f`: `^?` is a key and not a file name. `(… exec …)`: otherwise some shells tell on the program's
 * standard error by which signal it ended. `/proc/self/stat` begins with the process ID; `$$` is that of the outer shell.
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
exec 3<&0 4>&2 2>/dev/null
trap : HUP INT QUIT USR1 USR2 ALRM TERM
if [ "$__m" = r ]; then
(read -r __l __x </proc/self/stat || exit 126; echo "$__n r $__l $__g $__h"; exec "$@" 2>&4 3<&- 4>&-)
exit
fi
{
trap '' HUP INT QUIT PIPE USR1 USR2 ALRM TERM
while IFS= read -r __l; do
case $__l in
0) break;;
'?') __m=p; [ "$(printf x | dd bs=1 count=1 iflag=fullblock)" = x ] && __m=d; echo "$__n $__m" >&4;;
=*) printf '%b' "\${__l#=}" || exec >/dev/null;;
*) dd bs="$__l" count=1 iflag=fullblock || exec >/dev/null;;
esac
done
} <&3 3<&- | {
trap : HUP INT QUIT USR1 USR2 ALRM TERM
exec 3<&-
(read -r __l __x </proc/self/stat || exit 126; echo "$__n f $__l $__g $__h"; exec "$@" 2>&4 4>&-)
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

/** Asks the script whether the container's `dd` can take frames apart. */
export const QUESTION = Buffer.from("?\n");

/** The end of framed input. */
export const END_OF_INPUT = Buffer.from("0\n");

/** Largest frame for `dd`: it holds the whole frame in memory. */
const FRAME_LENGTH = 1 << 18;

/** Bytes in a line; each may become five characters. So much the shell reads sooner than a `dd` starts. */
const PRINTF_LENGTH = 512;

/** Whether a piece of input goes in one line, whatever the container has. */
export const fitsLine = ({ length }: Uint8Array): boolean => length <= PRINTF_LENGTH;

/** Input for a program in frames. */
export const framed = (reader: FrameReader, chunk: Buffer): Buffer =>
  reader === "dd"
    ? Buffer.concat(pieces(chunk, FRAME_LENGTH).flatMap((piece) => [Buffer.from(`${piece.length}\n`), piece]))
    : Buffer.from(
        pieces(chunk, PRINTF_LENGTH)
          .map((piece) => `=${escaped(piece)}\n`)
          .join(""),
        "latin1",
      );

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

const read = (line: string): Started => {
  const [, mode = "", pid, group, agent] = line.trimEnd().split(" ");
  const input = mode === "f" ? "framed" : "raw";
  return { input, pid: Number(pid), group: Number(group), agent: agent === "1" };
};

/** Reads what framed input's script says beside the program, out of standard error. */
export class Asides implements OutputFilter {
  /** Settles with the answer to the question, or undefined when the program or the output ended without it. */
  readonly reader: Promise<FrameReader | undefined>;
  /** Settles with the exit status, or undefined when the output ended without it. */
  readonly status: Promise<number | undefined>;
  readonly #start: Buffer;
  #answer: (reader: FrameReader | undefined) => void = () => undefined;
  #farewell: (status: number | undefined) => void = () => undefined;
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(nonce: string) {
    this.#start = Buffer.from(`${nonce} `);
    this.reader = new Promise((resolve) => {
      this.#answer = resolve;
    });
    this.status = new Promise((resolve) => {
      this.#farewell = resolve;
    });
  }

  take(bytes: Buffer): Buffer {
    if (this.#isOver) return bytes;
    let rest = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const outputs: Buffer[] = [];
    for (;;) {
      const start = rest.indexOf(this.#start);
      const end = start < 0 ? -1 : rest.indexOf("\n", start);
      if (end < 0) break;
      outputs.push(rest.subarray(0, start));
      this.#hear(rest.toString("latin1", start + this.#start.length, end));
      rest = rest.subarray(end + 1);
    }
    // What the program left running may go on writing.
    const keep = this.#isOver ? 0 : this.#unfinished(rest);
    this.#held = rest.subarray(rest.length - keep);
    outputs.push(rest.subarray(0, rest.length - keep));
    return outputs.length === 1 ? (outputs[0] as Buffer) : Buffer.concat(outputs);
  }

  end(): Buffer {
    this.#answer(undefined);
    this.#farewell(undefined);
    return this.#held;
  }

  #hear(word: string): void {
    if (word === "d") this.#answer("dd");
    else if (word === "p") this.#answer("printf");
    else {
      this.#isOver = true;
      this.#answer(undefined);
      this.#farewell(Number(word));
    }
  }

  /** How many of the last bytes may be the beginning of a line of the script's. */
  #unfinished(rest: Buffer): number {
    const start = rest.indexOf(this.#start);
    if (start >= 0) return rest.length - start;
    for (let length = Math.min(this.#start.length - 1, rest.length); length > 0; length--) {
      if (rest.subarray(rest.length - length).equals(this.#start.subarray(0, length))) return length;
    }
    return 0;
  }
}
