/** Files of private keys, and whether they are private. */
import { open } from "node:fs/promises";

/** A file that others can read. */
export interface ExposedFile {
  readonly file: string;
  /** Permission bits in octal: `0644`. */
  readonly mode: string;
}

const READABLE_BY_GROUP = 0o040;
const READABLE_BY_ALL = 0o004;

/**
 * Reads a private key's file; `exposed` hears of one that others can read, too. As with sshd, a group may read a file
 * that is somebody else's: it is how Kubernetes (`fsGroup`) and systemd hand a key to a server that is not root.
 *
 * @throws NodeJS.ErrnoException when it can't be read.
 */
export const readKeyFile = async (file: string, exposed: (details: ExposedFile) => void): Promise<string> => {
  await using handle = await open(file, "r");
  const { mode, uid } = await handle.stat();
  const others = uid === process.getuid?.() ? READABLE_BY_GROUP | READABLE_BY_ALL : READABLE_BY_ALL;
  if ((mode & others) !== 0) exposed({ file, mode: `0${(mode & 0o777).toString(8)}` });
  return await handle.readFile("utf8");
};
