/**
 * What a sandboxed program sees of this machine: system directories read-only, the part of /etc that programs read,
 * a /proc and /dev of its own, and nothing else. No passwords, no keys, no names of the host's users.
 */
import { copyFile, lstat, mkdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";

const systemDirectories = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** Directories of /etc that are shared as they are. Each costs a mount for every program, so they are few. */
const sharedConfiguration = ["alternatives", "crypto-policies", "pki/ca-trust", "pki/tls/certs", "profile.d"]
  .concat(["ssl/certs", "zsh"])
  .map((name) => `/etc/${name}`);

/** Small files of /etc that every connection gets a copy of. */
const copiedConfiguration = (
  "bash.bashrc bashrc csh.cshrc csh.login DIR_COLORS gai.conf gitconfig host.conf hosts inputrc " +
  "ld-musl-aarch64.path ld-musl-x86_64.path ld.so.cache locale.alias locale.conf localtime magic mime.types nanorc " +
  "networks nsswitch.conf os-release profile protocols resolv.conf screenrc services shells ssl/openssl.cnf timezone " +
  "wgetrc zprofile zshenv zshrc"
).split(" ");

/** A larger file is not one that was meant here. */
const LARGEST_COPY_BYTES = 1_000_000;
const READABLE_BY_ALL = 0o004;

/** Whose content is the host's, and stays so. */
export const sharedPaths: readonly string[] = [...systemDirectories, ...sharedConfiguration];

/** Whether a program at this path of the host is one that the sandbox sees. */
export const isSystemProgram = (path: string): boolean =>
  systemDirectories.some((directory) => path.startsWith(`${directory}/`));

export interface SystemView {
  /** Arguments of bwrap(1). */
  readonly arguments: readonly string[];
  /** To be bound into /etc, after what a connection has there. */
  readonly configuration: readonly string[];
}

export const systemView = async (): Promise<SystemView> => {
  const isThere = await Promise.all(
    sharedConfiguration.map((path) => stat(path).then(isDirectory, () => false)),
  );
  return {
    arguments: [
      ...(await Promise.all(systemDirectories.map(directoryArguments))).flat(),
      ...["--proc", "/proc", "--dev", "/dev"],
    ],
    configuration: sharedConfiguration.filter((_, index) => isThere[index]),
  };
};

/**
 * Makes a connection's own /etc, with a place for everything that is bound into it.
 * @param root what is `/` to the paths
 */
export const furnishConfiguration = async (root: string, configuration: readonly string[]): Promise<void> => {
  for (const path of [...configuration, "/etc/ssl"]) await mkdir(join(root, path), { recursive: true });
  await Promise.all(
    copiedConfiguration.map((name) => copySmall(join("/etc", name), join(root, "etc", name))),
  );
};

const isDirectory = (entry: { isDirectory: () => boolean }): boolean => entry.isDirectory();

/** Merged-usr systems have symbolic links at the top, and programs may rely on them. */
const directoryArguments = async (path: string): Promise<readonly string[]> => {
  const entry = await lstat(path).catch(() => undefined);
  if (entry === undefined) return [];
  return entry.isSymbolicLink() ? ["--symlink", await readlink(path), path] : ["--ro-bind", path, path];
};

/** What the host keeps from others is kept from its sandboxes, too: the daemon may read more than they may. */
const copySmall = async (from: string, to: string): Promise<void> => {
  const entry = await stat(from).catch(() => undefined);
  if (entry === undefined || !entry.isFile() || entry.size > LARGEST_COPY_BYTES) return;
  if ((entry.mode & READABLE_BY_ALL) !== 0) await copyFile(from, to);
};
