import { readdir, readFile, readlink } from "node:fs/promises";
import { finished } from "node:stream/promises";
import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { eventually, processesWith } from "../../../support/resources.ts";
import { isolations, killedBy, openPlace, run, start, status, terminalOf, until } from "./place.ts";

/** What OpenSSH's client sends from an ordinary terminal, with a few changes to tell it from the default. */
const modes = {
  ...{ VINTR: 1, VQUIT: 28, VERASE: 8, VKILL: 120, VEOF: 4, VEOL: 255, VEOL2: 255, VSTART: 17, VSTOP: 19 },
  ...{ VSUSP: 26, VREPRINT: 18, VWERASE: 23, VLNEXT: 22, VDISCARD: 15, VSTATUS: 255, VDSUSP: 255 },
  ...{ IGNPAR: 1, PARMRK: 0, INPCK: 0, ISTRIP: 0, INLCR: 0, IGNCR: 0, ICRNL: 1, IUCLC: 0, IXON: 0 },
  ...{ IXANY: 1, IXOFF: 0, IMAXBEL: 1, IUTF8: 1, ISIG: 1, ICANON: 1, XCASE: 0, ECHO: 0, ECHOE: 0, ECHOK: 1 },
  ...{ ECHONL: 0, NOFLSH: 1, TOSTOP: 1, IEXTEN: 1, ECHOCTL: 0, ECHOKE: 1, PENDIN: 0 },
  ...{ OPOST: 1, OLCUC: 0, ONLCR: 0, OCRNL: 0, ONOCR: 0, ONLRET: 0, CS7: 1, CS8: 1, PARENB: 0, PARODD: 0 },
  ...{ TTY_OP_ISPEED: 9600, TTY_OP_OSPEED: 9600 },
};

describe.each(isolations)("terminals, isolation %s", (isolation) => {
  const settings = { isolation, shell: "/bin/bash" };

  it("has the size, the type and a name that was asked for", async () => {
    const place = await openPlace({ settings });
    const terminal = terminalOf({
      term: "vt100",
      columns: 111,
      rows: 33,
      widthPixels: 1110,
      heightPixels: 660,
    });
    const command =
      `test "$(tty)" = "$SSH_TTY" && echo same; echo $TERM; stty size; ` +
      `/usr/bin/python3 -c 'import fcntl,struct,termios; print(struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, b"x" * 8)))'`;
    const { stdout, stderr } = await run(place, command, { terminal });
    expect(stderr).toBe("");
    expect(stdout.split("\r\n")).toEqual(["same", "vt100", "33 111", "(33, 111, 1110, 660)", ""]);
  });

  it("has a size when none was asked for", async () => {
    const place = await openPlace({ settings });
    const terminal = terminalOf({ columns: 0, rows: 0 });
    expect((await run(place, "stty size", { terminal })).stdout).toBe("24 80\r\n");
  });

  it("has the modes that were asked for", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "stty -a", { terminal: terminalOf({ modes }) });
    const words = new Set(stdout.split(/[;\s]+/));
    const wanted = (
      "ignpar -parmrk -inpck icrnl -ixon ixany imaxbel iutf8 isig icanon -echo -echoe echok noflsh tostop iexten " +
      "-echoctl echoke opost -onlcr cs8"
    ).split(" ");
    expect(wanted.filter((word) => !words.has(word))).toEqual([]);
    expect(stdout).toContain("speed 9600 baud");
    for (const character of [
      "intr = ^A",
      "erase = ^H",
      "kill = x",
      "eol = <undef>",
      "quit = ^\\",
      "stop = ^S",
    ]) {
      expect(stdout).toContain(character);
    }
  });

  it("has modes one by one where stty refuses one of them", async () => {
    const place = await openPlace({ settings });
    // Linux's pseudoterminals have no other input speed than the output's.
    const terminal = terminalOf({
      modes: { ECHO: 0, TTY_OP_ISPEED: 4_000_000, TTY_OP_OSPEED: 50, VINTR: 2 },
    });
    const { stdout } = await run(place, "stty -a", { terminal });
    expect(stdout).toContain("-echo ");
    expect(stdout).toContain("intr = ^B");
  });

  it("is a login shell's controlling terminal, with job control", async () => {
    const place = await openPlace({ settings });
    const shell = await start(place, { kind: "shell" }, { terminal: terminalOf({ term: "dumb" }) });
    shell.stdin.write("stty -echo; shopt -q login_shell && echo login; echo mode $-; echo on > /dev/tty\n");
    expect(await until(shell.stdout, /\non\r\n/)).toMatch(/\nlogin\r\nmode \S*m\S*\r\non\r\n/);
    shell.stdin.write("sleep 1000 & kill %1; wait %1 2>/dev/null; fg 2>/dev/null; echo bye; exit 5\n");
    await until(shell.stdout, /bye/);
    expect(await shell.ended).toEqual(status(5));
  });

  it("passes on what is typed: interrupt, end of file, erase", async () => {
    const place = await openPlace({ settings });
    const waiting = await start(place, "echo ready; exec sleep 1000", { terminal: terminalOf() });
    await until(waiting.stdout, /ready/);
    waiting.stdin.write("\x03");
    expect(await waiting.ended).toEqual(killedBy("INT"));

    const cat = await start(place, "cat; echo over", { terminal: terminalOf({ modes: { ECHO: 0 } }) });
    cat.stdin.write("wrong\x7f\x7f\x7f\x7f\x7fright\n\x04");
    expect(await until(cat.stdout, /over/)).toBe("right\r\nover\r\n");
    expect(await cat.ended).toEqual(status(0));
  });

  it("lets a program handle an interrupt", async () => {
    const place = await openPlace({ settings });
    const command = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    const program = await start(place, command, { terminal: terminalOf() });
    await until(program.stdout, /ready/);
    program.stdin.write("\x03");
    await until(program.stdout, /caught/);
    expect(await program.ended).toEqual(status(3));
  });

  it.each(["TERM", "KILL"])("tells death by SIG%s", async (signal) => {
    const place = await openPlace({ settings });
    expect((await run(place, `kill -${signal} $$`, { terminal: terminalOf() })).exit).toEqual(
      killedBy(signal),
    );
  });

  it("tells the program about a new size", async () => {
    const place = await openPlace({ settings });
    const command = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done";
    const program = await start(place, command, { terminal: terminalOf() });
    await until(program.stdout, /ready/);
    const size = { columns: 132, rows: 43, widthPixels: 0, heightPixels: 0 };
    await Effect.runPromise(program.resize(size));
    await until(program.stdout, /43 132/);
    await program.ended;
    await program.close();
    await Effect.runPromise(program.resize(size));
  });

  it("delivers everything that was written before the end to a slow reader", async () => {
    const place = await openPlace({ settings });
    const program = await start(place, "stty -opost; seq 1 200000", { terminal: terminalOf() });
    let text = "";
    for await (const chunk of program.stdout) {
      text += String(chunk);
      await new Promise(setImmediate);
    }
    expect(text.length).toBe(1_288_895);
    expect(text.endsWith("\n199999\n200000\n")).toBe(true);
    expect(await program.ended).toEqual(status(0));
  });

  it("delivers the end of the output although the program is gone and the reader comes late", async () => {
    const place = await openPlace({ settings });
    const program = await start(place, "seq 1 500", { terminal: terminalOf() });
    await program.ended;
    let text = "";
    for await (const chunk of program.stdout) text += String(chunk);
    expect(text).toMatch(/^1\r\n2\r\n[\s\S]*\r\n500\r\n$/);
  });

  it("ends the output with the shell, whoever else has the terminal open", async () => {
    const place = await openPlace({ settings });
    const command = "trap '' HUP; sleep 1000 & echo left";
    const program = await start(place, command, { terminal: terminalOf() });
    expect(await until(program.stdout, /left/)).toBe("left\r\n");
    await finished(program.stdout.resume());
    expect(await program.ended).toEqual(status(0));
  });

  it("neither blocks nor loses what is typed while the program doesn't read", async () => {
    const place = await openPlace({ settings });
    const terminal = terminalOf({ modes: { ICANON: 0, ECHO: 0, ICRNL: 0, ISIG: 0, IXON: 0 } });
    const command = "echo ready; until [ -e ~/go ]; do sleep 0.05; done; head -c 1000000 | cksum";
    const program = await start(place, command, { terminal });
    await until(program.stdout, /ready/);
    const typed = Buffer.alloc(1_000_000, "abcdefghij");
    expect(program.stdin.write(typed)).toBe(false);
    // The event loop goes on: this program runs to its end meanwhile.
    expect((await run(place, "touch ~/go; echo on")).stdout).toBe("on\n");
    expect(await until(program.stdout, /1000000/)).toContain("1000000");
    const { stdout } = await run(place, "cksum", { input: typed.toString() });
    expect(stdout).toContain(" 1000000");
  });

  it("stops a program at whose terminal nobody looks", async () => {
    const place = await openPlace({ settings });
    const marker = `flood-${isolation}`;
    const program = await start(place, `echo $$; exec -a ${marker} yes`, { terminal: terminalOf() });
    await eventually(async () => {
      const [pid] = await processesWith(`${marker}\0`);
      return pid !== undefined && (await isStopped(pid));
    }, "the program waits for somebody to look");
    expect(program.stdout.readableLength).toBeLessThan(200_000);
    await program.close();
    expect(await processesWith(`${marker}\0`)).toEqual([]);
  });

  it("leaves no terminal open to other programs", async () => {
    const place = await openPlace({ settings });
    const first = await start(place, "echo ready; cat", { terminal: terminalOf() });
    await until(first.stdout, /ready/);
    const seen = (await run(place, "ls -l /proc/self/fd")).stdout;
    expect(seen).not.toMatch(/ptmx|pts/);
    expect((await run(place, "ls -l /proc/self/fd", { terminal: terminalOf() })).stdout).not.toContain(
      "ptmx",
    );
  });

  it("gives its file descriptors back", async () => {
    const place = await openPlace({ settings });
    await run(place, "true", { terminal: terminalOf() });
    const before = await openFiles();
    for (let count = 0; count < 3; count++) {
      await run(place, "echo x", { terminal: terminalOf() });
      await run(place, "echo x");
    }
    expect(await openFiles()).toEqual(before);
  });
});

/** Whether a process sleeps in a write to a terminal. */
const isStopped = async (pid: number): Promise<boolean> =>
  /write|wait_woken/.test(await readFile(`/proc/${pid}/wchan`, "utf8"));

/** Kinds of this process's open files. */
const openFiles = async (): Promise<readonly string[]> => {
  const names = await readdir("/proc/self/fd");
  const links = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => "")));
  return links.filter((link) => /pts|ptmx|pipe:/.test(link)).sort();
};
