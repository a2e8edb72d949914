/**
 * What a sandboxed program sees of this machine, as arguments of bwrap(1): system directories read-only, the files
 * of /etc that programs read, a /proc and /dev of its own, and nothing else.
 */
import { lstat, readlink } from "node:fs/promises";

const systemDirectories = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/** No passwords, no keys, no names of the host's users: those that programs need are made for them. */
const configuration = (
  "alternatives bash.bashrc bash_completion bash_completion.d bashrc ca-certificates ca-certificates.conf " +
  "crypto-policies csh.cshrc csh.login DIR_COLORS emacs fish fonts gai.conf gitconfig host.conf hosts inputrc " +
  "ld-musl-x86_64.path ld-musl-aarch64.path ld.so.cache ld.so.conf ld.so.conf.d locale.alias locale.conf localtime " +
  "magic mime.types nanorc networks nsswitch.conf os-release perl pki/ca-trust pki/tls/certs pki/tls/cert.pem " +
  "pki/tls/openssl.cnf profile profile.d protocols python3 resolv.conf screenrc services shells skel ssl/cert.pem " +
  "ssl/certs ssl/openssl.cnf terminfo timezone vim vimrc wgetrc xdg zprofile zsh zshenv zshrc"
)
  .split(" ")
  .map((name) => `/etc/${name}`);

/** Merged-usr systems have symbolic links at the top, and programs may rely on them. */
const directoryArguments = async (path: string): Promise<readonly string[]> => {
  const entry = await lstat(path).catch(() => undefined);
  if (entry === undefined) return [];
  return entry.isSymbolicLink() ? ["--symlink", await readlink(path), path] : ["--ro-bind", path, path];
};

/** Arguments of bwrap(1). */
export const systemView = async (): Promise<readonly string[]> => [
  ...(await Promise.all(systemDirectories.map(directoryArguments))).flat(),
  ...configuration.flatMap((path) => ["--ro-bind-try", path, path]),
  ...["--proc", "/proc", "--dev", "/dev"],
];

/** What is the host's. */
export const sharedPaths: readonly string[] = [...systemDirectories, ...configuration];

/** Whether a program at this path of the host is one that the sandbox sees. */
export const isSystemProgram = (path: string): boolean =>
  systemDirectories.some((directory) => path.startsWith(`${directory}/`));
