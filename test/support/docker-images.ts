/**
 * Images that tests make themselves out of Debian's static busybox. The one with an agent has a stand-in for the guest
 * agent: a script that follows its documented usage (github.com/ContainerSSH/agent).
 */
import { readFile } from "node:fs/promises";
import { type Header, pack } from "tar-stream";
import { run } from "./command.ts";

export const AGENT_PATH = "/usr/bin/containerssh-agent";

/** console [--wait] [--pid] [--env NAME=VALUE] -- PROGRAM…, signal, wait-signal, write-file. */
const AGENT = `#!/bin/sh
mode=$1
shift
case $mode in
  console)
    wait= pid=
    while [ $# -gt 0 ]; do
      case $1 in
        --wait) wait=yes; shift ;;
        --pid) pid=yes; shift ;;
        --env) export "$2"; shift 2 ;;
        --) shift; break ;;
        *) echo "invalid parameter: $1" >&2; exit 1 ;;
      esac
    done
    [ -z "$wait" ] || { IFS= read -r line && [ -z "$line" ]; } || exit 2
    if [ -n "$pid" ]; then
      octal=$(printf '\\\\%03o\\\\%03o\\\\%03o\\\\%03o' $(($$ & 255)) $(($$ >> 8 & 255)) $(($$ >> 16 & 255)) $(($$ >> 24 & 255)))
      printf "$octal"
    fi
    exec "$@" ;;
  signal)
    while [ $# -gt 0 ]; do
      case $1 in
        --pid) target=$2; shift 2 ;;
        --signal) signal=$2; shift 2 ;;
        *) exit 1 ;;
      esac
    done
    [ "$target" -ge 1 ] && kill -s "$signal" "$target" || exit 3 ;;
  wait-signal)
    trap 'exit 0' INT TERM
    while :; do sleep 3600 & wait $!; done ;;
  write-file)
    umask 077
    cat > "$1" ;;
  *) exit 1 ;;
esac
`;

export interface ImageOptions {
  /** Whether it has the guest agent. Default false. */
  readonly agent?: boolean;
  /** Whether it has a shell and all of busybox's programs. Default true; otherwise only `/busybox`. */
  readonly shell?: boolean;
  /** Programs of this machine by absolute path: they get there with the libraries that they need. */
  readonly programs?: readonly string[];
  /** More files by absolute path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Lines of a Dockerfile for its configuration, such as `ENTRYPOINT ["/bin/env"]`. */
  readonly changes?: readonly string[];
}

/** The file system of an image as a tar archive. */
export const imageArchive = async (options: ImageOptions = {}): Promise<NodeJS.ReadableStream> => {
  const { agent = false, shell = true, programs = [], files = {} } = options;
  const busybox = await readFile("/bin/busybox");
  const archive = pack();
  const add = (header: Partial<Header> & { readonly name: string }, content?: Buffer | string): void => {
    if (content === undefined) archive.entry(header);
    else archive.entry(header, content);
  };
  for (const name of ["bin", "etc", "usr", "usr/bin", "home", "root", "var"]) {
    add({ name, type: "directory", mode: 0o755 });
  }
  add({ name: "tmp", type: "directory", mode: 0o1777 });
  add({ name: "home/jane", type: "directory", mode: 0o755, uid: 1000, gid: 1001 });
  add({ name: shell ? "bin/busybox" : "busybox", mode: 0o755 }, busybox);
  const own = new Set(programs.map((path) => path.split("/").at(-1)));
  if (shell)
    for (const name of (await applets()).filter((applet) => !own.has(applet)))
      add({ name: `bin/${name}`, type: "symlink", linkname: "busybox" });
  add({ name: "etc/passwd" }, "root:x:0:0:root:/root:/bin/sh\njane:x:1000:1001:Jane:/home/jane:/bin/sh\n");
  add({ name: "etc/group" }, "root:x:0:\njane:x:1001:\nstaff:x:50:\n");
  if (agent) add({ name: AGENT_PATH.slice(1), mode: 0o755 }, AGENT);
  for (const path of await withLibraries(programs)) {
    add({ name: path.slice(1), mode: 0o755 }, await readFile(path));
  }
  for (const [path, content] of Object.entries(files)) add({ name: path.slice(1), mode: 0o644 }, content);
  archive.finalize();
  return archive as unknown as NodeJS.ReadableStream;
};

/** The programs that this busybox can be. */
const applets = async (): Promise<readonly string[]> => {
  const { stdout } = await run("/bin/busybox", ["--list"]);
  return stdout.split("\n").filter((name) => name !== "" && name !== "busybox");
};

/** Programs and the libraries and loaders that they need. */
const withLibraries = async (programs: readonly string[]): Promise<ReadonlySet<string>> =>
  new Set([...programs, ...(await librariesOf(programs))]);

/** What `ldd` finds for programs or libraries. */
export const librariesOf = async (files: readonly string[]): Promise<ReadonlySet<string>> => {
  const all = new Set<string>();
  for (const file of files) {
    const { stdout } = await run("ldd", [file]);
    for (const [path] of stdout.matchAll(/\/\S+(?= \(0x)/g)) all.add(path);
  }
  return all;
};
