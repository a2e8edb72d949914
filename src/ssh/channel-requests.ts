/** Channel requests of session channels (RFC 4254 sections 6.2 to 6.9), read into what machines understand. */
import type { Program, TerminalSize } from "../../machines/facts.ts";
import type { SessionRequest } from "../../machines/session.ts";
import { readTerminalModes } from "./terminal-modes.ts";
import { decodeUtf8, isPlainText, type Reader } from "./wire.ts";

/** What a pseudo-terminal can be told (struct winsize). */
const LARGEST_SIZE = 65_535;
const LONGEST_NAME = 256;

/** Reads the fields of a request's type; a text says why it cannot be granted. */
export const readSessionRequest = (type: string, reader: Reader): SessionRequest | string => {
  switch (type) {
    case "env":
      return readEnvironment(reader);
    case "pty-req":
      return readTerminal(reader);
    case "shell":
      return programRequested({ kind: "shell" });
    case "exec":
      return readCommand(reader.string());
    case "subsystem":
      return readSubsystem(reader.string());
    case "window-change":
      return { type: "window.changed", size: readSize(reader) };
    case "signal":
      return readSignal(reader.name());
    default:
      return "it is not supported";
  }
};

const programRequested = (program: Program): SessionRequest => ({ type: "program.requested", program });

const readEnvironment = (reader: Reader): SessionRequest | string => {
  const [name, value] = [reader.text(), reader.text()];
  if (name === undefined || value === undefined || value.includes("\0")) return "it is not UTF-8 text";
  if (!/^[^=\p{Cc}]+$/u.test(name)) return "this is no name of an environment variable";
  return { type: "env.requested", name, value };
};

const readTerminal = (reader: Reader): SessionRequest | string => {
  const term = reader.text();
  const size = readSize(reader);
  const modes = readTerminalModes(reader.string());
  if (term === undefined || term.length > LONGEST_NAME || !isPlainText(term))
    return "the terminal has no name";
  return { type: "pty.requested", terminal: { term, ...size, modes } };
};

const readSize = (reader: Reader): TerminalSize => {
  const size = () => Math.min(reader.uint32(), LARGEST_SIZE);
  return { columns: size(), rows: size(), widthPixels: size(), heightPixels: size() };
};

/** No backend can pass other bytes on: arguments of programs are text without NUL everywhere. */
const readCommand = (bytes: Buffer): SessionRequest | string => {
  const command = decodeUtf8(bytes);
  return command === undefined || command.includes("\0")
    ? "the command is not UTF-8 text"
    : programRequested({ kind: "exec", command });
};

const readSubsystem = (bytes: Buffer): SessionRequest | string => {
  const name = decodeUtf8(bytes);
  return name === undefined || name === "" || name.length > LONGEST_NAME || !isPlainText(name)
    ? "this is no name of a subsystem"
    : programRequested({ kind: "subsystem", name });
};

const readSignal = (signal: string): SessionRequest | string =>
  /^[A-Za-z0-9][\w.@+-]{0,63}$/.test(signal)
    ? { type: "signal.requested", signal }
    : "this is no name of a signal";
