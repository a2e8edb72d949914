/**
 * Sets terminal modes (RFC 4254 section 8, and IUTF8 of RFC 8160) by stty(1), which knows them on every system. What
 * a pseudoterminal does not have (parity, character size, VDSUSP, VSTATUS, ...) is left out, as in sshd; VDISCARD, too:
 * Linux does nothing at it, and busybox's stty refuses it together with all that is asked for beside it.
 */
import { spawn } from "node:child_process";
import { Effect } from "effect";

const characters: Readonly<Record<string, string>> = {
  VINTR: "intr",
  VQUIT: "quit",
  VERASE: "erase",
  VKILL: "kill",
  VEOF: "eof",
  VEOL: "eol",
  VEOL2: "eol2",
  VSTART: "start",
  VSTOP: "stop",
  VSUSP: "susp",
  VREPRINT: "rprnt",
  VWERASE: "werase",
  VLNEXT: "lnext",
  VSWTCH: "swtch",
};

const flags: ReadonlySet<string> = new Set(
  (
    "IGNPAR PARMRK INPCK ISTRIP INLCR IGNCR ICRNL IUCLC IXON IXANY IXOFF IMAXBEL IUTF8 " +
    "ISIG ICANON XCASE ECHO ECHOE ECHOK ECHONL NOFLSH TOSTOP IEXTEN ECHOCTL ECHOKE " +
    "OPOST OLCUC ONLCR OCRNL ONOCR ONLRET"
  ).split(" "),
);

const speeds: Readonly<Record<string, string>> = { TTY_OP_ISPEED: "ispeed", TTY_OP_OSPEED: "ospeed" };

/** POSIX's and Linux's rates: stty refuses others, and everything that was asked for along with them. */
const rates: ReadonlySet<number> = new Set([
  50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400,
  460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
]);

/** The value by which RFC 4254 switches a special character off. */
const DISABLED = 255;
const DELETE = 127;

/**
 * stty sets everything or nothing: where it refuses something, the modes are set one by one.
 * @param stty its path; without it nothing can be set
 * @param terminal a file descriptor
 * @returns what could not be set
 */
export const setModes = (
  stty: string | undefined,
  terminal: number,
  modes: Readonly<Record<string, number>>,
): Effect.Effect<readonly string[]> =>
  Effect.gen(function* () {
    const groups = sttyModes(modes);
    if (groups.length === 0) return [];
    if (stty === undefined) return Object.keys(modes);
    if (yield* accepts(stty, terminal, groups.flat())) return [];
    const refused: string[] = [];
    for (const group of groups) {
      if (!(yield* accepts(stty, terminal, group))) refused.push(group.join(" "));
    }
    return refused;
  });

const accepts = (stty: string, terminal: number, words: readonly string[]): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const child = spawn(stty, words, { cwd: "/", env: {}, stdio: [terminal, "ignore", "ignore"] });
    child.once("error", () => resume(Effect.succeed(false)));
    child.once("exit", (status) => resume(Effect.succeed(status === 0)));
    return Effect.sync(() => child.kill("SIGKILL"));
  });

/** One group of words for each mode, such as `["intr", "^C"]`, `["-echo"]`, `["ispeed", "38400"]`. */
export const sttyModes = (modes: Readonly<Record<string, number>>): readonly (readonly string[])[] =>
  Object.entries(modes).flatMap(([name, value]) => {
    const character = characters[name];
    if (character !== undefined) return value > DISABLED ? [] : [[character, notation(value)]];
    if (flags.has(name)) return [[`${value === 0 ? "-" : ""}${name.toLowerCase()}`]];
    const speed = speeds[name];
    return speed !== undefined && rates.has(value) ? [[speed, String(value)]] : [];
  });

/** A character the way stty reads it: a single one stands for itself, so digits must not be numbers. */
const notation = (value: number): string => {
  if (value === DISABLED) return "undef";
  if (value === DELETE) return "^?";
  if (value < 32) return `^${String.fromCharCode(value + 64)}`;
  return value < DELETE ? String.fromCharCode(value) : `0x${value.toString(16)}`;
};
