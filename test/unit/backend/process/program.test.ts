import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { finished } from "node:stream/promises";
import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { eventually, processesWith } from "../../../support/resources.ts";
import { exec, isolations, killedBy, openPlace, run, start, status, until } from "./place.ts";

describe.each(isolations)("programs, isolation %s", (isolation) => {
  const settings = { isolation };

  it("gives the exit status, output and errors apart", async () => {
    const place = await openPlace({ settings });
    expect(await run(place, "echo out; echo err >&2; exit 7")).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      exit: status(7),
    });
  });

  it.each(["TERM", "KILL", "INT", "HUP", "PIPE", "USR1", "SEGV"])("tells death by SIG%s", async (signal) => {
    const place = await openPlace({ settings });
    const { exit } = await run(place, `ulimit -c 0; kill -${signal} $$`);
    expect(exit).toEqual(killedBy(signal));
  });

  it("doesn't take a status above 128 for a signal", async () => {
    const place = await openPlace({ settings });
    expect((await run(place, "exit 143")).exit).toEqual(status(143));
    expect((await run(place, "sh -c 'kill -KILL $$'; exit $?")).exit).toEqual(status(137));
  });

  it("runs the login shell on its input", async () => {
    const place = await openPlace({ settings: { ...settings, shell: "/bin/bash" } });
    const input = "shopt -q login_shell && echo login; tty; exit 4\n";
    expect(await run(place, { kind: "shell" }, { input })).toEqual({
      stdout: "login\nnot a tty\n",
      stderr: "",
      exit: status(4),
    });
  });

  it("sees the end of its input and goes on writing", async () => {
    const place = await openPlace({ settings });
    const { stdout, exit } = await run(place, "wc -c; echo after", { input: "x".repeat(100_000) });
    expect(stdout).toBe("100000\nafter\n");
    expect(exit).toEqual(status(0));
  });

  it("ends its output when it closes it", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "exec >&-; cat", { input: "unheard" });
    expect(stdout).toBe("");
  });

  it("can open its streams again by name, as under sshd", async () => {
    const place = await openPlace({ settings });
    const { stdout, stderr } = await run(
      place,
      "cat /dev/stdin > /dev/stdout; echo oops > /dev/stderr; echo done",
      { input: "words\n" },
    );
    expect({ stdout, stderr }).toEqual({ stdout: "words\ndone\n", stderr: "oops\n" });
  });

  it("survives a program that doesn't read, and one that closes its input", async () => {
    const place = await openPlace({ settings });
    expect((await run(place, "exit 5", { input: "x".repeat(1_000_000) })).exit).toEqual(status(5));
    expect((await run(place, "exec <&-; exit 6", { input: "x".repeat(1_000_000) })).exit).toEqual(status(6));
  });

  it("gets a signal in its process group", async () => {
    const place = await openPlace({ settings });
    const trapping = await start(
      place,
      "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 1; done",
    );
    await until(trapping.stdout, /ready/);
    const caught = until(trapping.stdout, /caught/);
    await Effect.runPromise(trapping.signal("USR1"));
    await caught;
    expect(await trapping.ended).toEqual(status(9));

    const plain = await start(place, "echo ready; exec sleep 1000");
    await until(plain.stdout, /ready/);
    await Effect.runPromise(plain.signal("TERM"));
    expect(await plain.ended).toEqual(killedBy("TERM"));
    await Effect.runPromise(plain.signal("TERM"));
  });

  it("refuses signals that RFC 4254 doesn't know", async () => {
    const place = await openPlace({ settings });
    const program = await start(place, "cat");
    const error = await Effect.runPromise(Effect.flip(program.signal("STOP")));
    expect(error).toMatchObject({ code: "PROCESS_SIGNAL_FAILED", details: { signal: "STOP" } });
    program.stdin.end();
    expect(await program.ended).toEqual(status(0));
  });

  it("says that a command cannot be run, and goes on with the next", async () => {
    const place = await openPlace({ settings });
    const fail = (command: string) =>
      Effect.runPromise(
        Effect.flip(
          Effect.scoped(
            place.environment.start({
              program: exec(command),
              terminal: undefined,
              environment: {},
              channel: 0,
            }),
          ),
        ),
      );
    expect(await fail(`: ${"x".repeat(256 * 1024)}`)).toMatchObject({ code: "PROCESS_COMMAND_UNUSABLE" });
    expect(await fail("echo a\0b")).toMatchObject({ code: "PROCESS_COMMAND_UNUSABLE" });
    const { exit, stderr } = await run(place, "no-such-command-here");
    expect(exit).toEqual(status(127));
    expect(stderr).toContain("no-such-command-here");
  });

  it("carries bytes of every kind, and commands with quotes and newlines", async () => {
    const place = await openPlace({ settings });
    const command = `printf '%s|' 'it'"'"'s' "a
b" '$HOME' \\\\ 'ü€😀'`;
    expect((await run(place, command)).stdout).toBe("it's|a\nb|$HOME|\\|ü€😀|");
  });

  it("passes 200 MB through cat, byte for byte, in bounded memory", { timeout: 60_000 }, async () => {
    const place = await openPlace({ settings });
    const cat = await start(place, "cat");
    const block = randomBytes(1_000_000);
    const blocks = 200;
    let received = 0;
    let differs = false;
    let peak = 0;
    const before = process.memoryUsage().rss;
    cat.stdout.on("data", (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; ) {
        const offset = (received + at) % block.length;
        const length = Math.min(chunk.length - at, block.length - offset);
        if (block.compare(chunk, at, at + length, offset, offset + length) !== 0) differs = true;
        at += length;
      }
      received += chunk.length;
      peak = Math.max(peak, process.memoryUsage.rss());
    });
    const ended = finished(cat.stdout);
    for (let sent = 0; sent < blocks; sent++) {
      if (!cat.stdin.write(block)) await new Promise((resolve) => cat.stdin.once("drain", resolve));
    }
    cat.stdin.end();
    await ended;
    expect({ received, differs, exit: await cat.ended }).toEqual({
      received: blocks * block.length,
      differs: false,
      exit: status(0),
    });
    expect(peak - before).toBeLessThan(100_000_000);
  });

  it("stops a program whose output nobody reads", async () => {
    const place = await openPlace({ settings });
    const bytes = 30_000 + isolations.indexOf(isolation);
    const flood = await start(
      place,
      `exec 3>&2; while :; do head -c ${bytes} /dev/zero; echo wrote >&3; done`,
    );
    const errors = flood.stderr;
    if (errors === undefined) throw new Error("no stderr");
    let writes = 0;
    errors.on("data", (chunk: Buffer) => {
      writes += chunk.toString().split("wrote").length - 1;
    });
    await eventually(() => isStopped(`head\0-c\0${bytes}`), "the program waits for somebody to read");
    expect(writes).toBeLessThan(10);
    expect(flood.stdout.readableLength).toBeLessThan(200_000);
    const goesOn = until(errors, /(wrote\n){20}/);
    flood.stdout.resume();
    await goesOn;
  });
});

/** Whether a process sleeps in a write to a pipe. */
const isStopped = async (commandLine: string): Promise<boolean> => {
  const processes = await processesWith(commandLine);
  const places = processes.map((pid) => readFile(`/proc/${pid}/wchan`, "utf8").catch(() => ""));
  return (await Promise.all(places)).some((place) => place.includes("pipe_write"));
};
