/** The launch script under the shells that images have, with real processes. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { FramedInput } from "../../../../src/backend/kubernetes/input.ts";
import {
  Announcement,
  Asides,
  type FrameReader,
  launchCommand,
  launchOrders,
  type Started,
} from "../../../../src/backend/kubernetes/launcher.ts";
import { KILL } from "../../../../src/backend/kubernetes/signals.ts";

/** `--norc`: with a socket for its input (as Node.js makes them) bash takes itself for a remote shell. */
const shells = {
  dash: ["/bin/dash"],
  bash: ["/bin/bash", "--norc", "--posix"],
  busybox: ["/bin/busybox", "sh"],
} as const;
type Shell = keyof typeof shells;

const nonce = "0123456789abcdef";

interface Launched {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly started: Started;
  readonly asides: Asides;
  readonly input: FramedInput;
  readonly output: Readable;
  readonly errors: Promise<Buffer>;
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const launch = async (
  shell: Shell,
  program: readonly string[],
  options: {
    environment?: Record<string, string>;
    framed?: boolean;
    path?: string;
    agentPath?: string;
  } = {},
): Promise<Launched> => {
  const [, ...words] = launchCommand(nonce, "", options.agentPath ?? "", program);
  const [command, ...first] = shells[shell];
  const child = spawn(command, [...first, ...words], {
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
    env: { PATH: options.path ?? process.env.PATH },
  });
  child.stdin.on("error", () => undefined);
  child.stdin.write(launchOrders(options.environment ?? {}, options.framed ?? false));
  const asides = new Asides(nonce);
  const input = new FramedInput(
    { write: (bytes, done) => void child.stdin.write(bytes, (error) => done(error ?? undefined)) },
    asides,
  );
  const errorOutput = new PassThrough();
  child.stderr.on("data", (bytes: Buffer) => errorOutput.write(asides.take(bytes)));
  child.stderr.on("end", () => errorOutput.end(asides.end()));
  const errors = buffer(errorOutput);
  const exit = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const announcement = new Announcement(nonce);
  const output = new PassThrough();
  child.stdout.on("data", (bytes: Buffer) => output.write(announcement.take(bytes)));
  child.stdout.on("end", () => output.end(announcement.end()));
  const started = await announcement.made;
  if (started === undefined) throw new Error(`no announcement: ${await errors}`);
  return { child, started, asides, input, output, errors, exit };
};

const written = (launched: Launched, input: Buffer) =>
  new Promise((resolve) => launched.input.write(input, resolve));

const feed = async (launched: Launched, input: Buffer): Promise<void> => {
  await written(launched, input);
  await new Promise((resolve) => launched.input.end(resolve));
};

it.each([1, 7, 100])(
  "reads what the script says beside the program in pieces of %i bytes",
  async (length) => {
    const asides = new Asides(nonce);
    const said = Buffer.from(`before${nonce} d\n${nonce.slice(0, 9)} between\n${nonce} 4\nafter`);
    const rest: Buffer[] = [];
    for (let at = 0; at < said.length; at += length) rest.push(asides.take(said.subarray(at, at + length)));
    expect(await asides.reader).toBe("dd");
    expect(await asides.status).toBe(4);
    expect(Buffer.concat([...rest, asides.end()]).toString()).toBe(
      `before${nonce.slice(0, 9)} between\nafter`,
    );
  },
);

describe.each(Object.keys(shells) as Shell[])("in %s", (shell) => {
  it("gives the program its environment, whatever is in it", async () => {
    const environment = {
      PLAIN: "a b  c",
      QUOTES: `'"$HOME\`id\`\\n%s\\`,
      LINES: "one\ntwo\n\n",
      UNICODE: "zürich ✓",
      EMPTY: "",
      LONG: `${"x".repeat(999)}\n\\é${"y\n".repeat(2000)}`,
    };
    const launched = await launch(shell, ["/usr/bin/env", "-0"], { environment });
    launched.child.stdin.end();
    const variables = Object.fromEntries(
      (await buffer(launched.output))
        .toString()
        .split("\0")
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    expect(variables).toMatchObject(environment);
    expect(Object.keys(variables).filter((name) => name.startsWith("__"))).toEqual([]);
    expect(await launched.exit).toEqual({ code: 0, signal: null });
  });

  it("becomes the program: its process ID, its group, its way to end", async () => {
    const launched = await launch(shell, ["/bin/sh", "-c", "echo $$; kill -TERM $$"]);
    expect(launched.started).toEqual({
      input: "raw",
      pid: launched.child.pid,
      group: launched.child.pid,
      agent: false,
    });
    expect((await buffer(launched.output)).toString()).toBe(`${launched.child.pid}\n`);
    expect(await launched.exit).toEqual({ code: null, signal: "SIGTERM" });
  });

  it("sees whether the guest agent is there", async () => {
    const launched = await launch(shell, ["/bin/true"], { agentPath: "/bin/true" });
    expect(launched.started.agent).toBe(true);
  });

  it("says like a shell that there is no such program", async () => {
    for (const framed of [false, true]) {
      const launched = await launch(shell, ["/no/such/program"], { framed });
      expect((await launched.exit).code).toBe(127);
      expect((await launched.errors).toString()).toContain("/no/such/program");
    }
  });

  const framings: ReadonlyArray<{ reader: FrameReader; path: string; length: number }> = [
    { reader: "dd", path: process.env.PATH ?? "", length: 3_000_000 },
    // busybox brings its own dd wherever PATH points.
    { reader: shell === "busybox" ? "dd" : "printf", path: "/nowhere", length: 20_000 },
  ];

  it.each(framings)("ends framed input with $reader, byte by byte", async ({ reader, path, length }) => {
    const input = randomBytes(length);
    const launched = await launch(shell, ["/bin/cat"], { framed: true, path });
    expect(launched.started.input).toBe("framed");
    await feed(launched, input);
    expect(await launched.asides.reader).toBe(reader);
    expect((await buffer(launched.output)).equals(input)).toBe(true);
    expect(await launched.exit).toEqual({ code: 0, signal: null });
  });

  it("hands on input that fits a line without looking for dd, and before what needs one", async () => {
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const long = randomBytes(100_000);
    const launched = await launch(shell, ["/bin/cat"], { framed: true });
    await written(launched, every);
    expect(await once(launched.output, "data")).toEqual([every]);
    const rest = buffer(launched.output);
    await written(launched, long);
    await feed(launched, every);
    expect((await rest).equals(Buffer.concat([long, every]))).toBe(true);
    expect(await launched.exit).toEqual({ code: 0, signal: null });
  });

  it.each(framings)("hands on framed input at once with $reader", async ({ path }) => {
    const launched = await launch(shell, ["/bin/sh", "-c", "read -r line; echo $line; exit 3"], {
      framed: true,
      path,
    });
    await written(launched, Buffer.from("hello\n"));
    expect((await buffer(launched.output)).toString()).toBe("hello\n");
    expect((await launched.exit).code).toBe(3);
  });

  it.each(framings)("lets a program stop reading with $reader", async ({ path }) => {
    const launched = await launch(shell, ["/bin/sh", "-c", "exec <&-; echo closed; /bin/sleep 0.1; exit 5"], {
      framed: true,
      path,
    });
    await feed(launched, Buffer.alloc(200_000, "x"));
    expect((await buffer(launched.output)).toString()).toBe("closed\n");
    expect((await launched.exit).code).toBe(5);
    expect((await launched.errors).toString()).toBe("");
  });

  it("survives a signal to the group that the program handles", async () => {
    const program = `trap 'echo handled; exit 9' TERM; echo ready; while :; do read -r line; done`;
    const launched = await launch(shell, ["/bin/sh", "-c", program], { framed: true });
    await once(launched.output, "readable");
    process.kill(-launched.started.group, "SIGTERM");
    expect((await buffer(launched.output)).toString()).toContain("handled");
    expect((await launched.exit).code).toBe(9);
    expect((await launched.errors).toString()).toBe("");
  });

  it("says 128 and the signal for a program that a signal ends while its input is framed", async () => {
    const launched = await launch(shell, ["/bin/sleep", "1000"], { framed: true });
    process.kill(launched.started.pid, "SIGKILL");
    expect(await launched.exit).toEqual({ code: 137, signal: null });
    expect((await launched.errors).toString()).toBe("");
  });

  it("signals a process, and a whole group", async () => {
    const [command, ...first] = shells[shell];
    for (const toGroup of [false, true]) {
      const target = spawn("/bin/sh", ["-c", "trap 'exit 9' TERM; echo ready; while :; do read line; done"], {
        stdio: ["pipe", "pipe", "inherit"],
        detached: true,
      });
      await once(target.stdout, "readable");
      const ended = once(target, "exit");
      const killer = spawn(command, [
        ...first,
        "-c",
        KILL,
        "sh",
        "TERM",
        `${toGroup ? "-" : ""}${target.pid}`,
      ]);
      expect(await text(killer.stderr)).toBe("");
      expect(await ended).toEqual([9, null]);
    }
  });
});
