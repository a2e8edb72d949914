import { chmod, readdir } from "node:fs/promises";
import { finished } from "node:stream/promises";
import { Effect } from "effect";
import { afterEach, describe, expect, it } from "vitest";
import { eventually, processesWith } from "../../../support/resources.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { isolations, killedBy, openPlace, run, start, status, terminalOf, until } from "./place.ts";

const terminals = [undefined, terminalOf()];

const { TMPDIR } = process.env;
afterEach(() => {
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = TMPDIR;
});

let markers = 0;
/** A command line that no other program on this machine has. */
const uniqueSleep = (): string => `sleep ${100_000 + process.pid}.${++markers}`;
const running = (command: string) => processesWith(`${command.replace(" ", "\0")}\0`);

describe.each(isolations)("the end, isolation %s", (isolation) => {
  const settings = { isolation, shell: "/bin/bash" };

  it.each(terminals)("hangs a program up when its session ends, terminal %#", async (terminal) => {
    const place = await openPlace({ settings });
    const sleep = uniqueSleep();
    const program = await start(place, `echo ready; ${sleep}; echo never`, { terminal });
    await until(program.stdout, /ready/);
    await program.close();
    expect(await program.ended).toEqual(killedBy("HUP"));
    expect(await running(sleep)).toEqual([]);
  });

  it("lets a program clean up when it is hung up", async () => {
    const place = await openPlace({ settings });
    const command = "trap 'echo cleaned > ~/trace; exit 0' HUP; echo ready; while :; do sleep 0.05; done";
    const program = await start(place, command);
    await until(program.stdout, /ready/);
    await program.close();
    expect((await run(place, "cat ~/trace")).stdout).toBe("cleaned\n");
  });

  it.each(terminals)("kills after five seconds what ignores that, terminal %#", async (terminal) => {
    const place = await openPlace({ settings });
    const sleep = uniqueSleep();
    const program = await start(place, `trap '' HUP; echo ready; while :; do ${sleep}; done`, { terminal });
    await until(program.stdout, /ready/);
    const from = performance.now();
    await program.close();
    expect(performance.now() - from).toBeGreaterThan(4500);
    expect(performance.now() - from).toBeLessThan(9000);
    expect(await program.ended).toEqual(killedBy("KILL"));
    expect(await running(sleep)).toEqual([]);
  });

  it("ends jobs of an interactive shell with it", async () => {
    const place = await openPlace({ settings });
    const sleep = uniqueSleep();
    const shell = await start(place, { kind: "shell" }, { terminal: terminalOf({ term: "dumb" }) });
    shell.stdin.write(`stty -echo; ${sleep} & set +m; ${sleep} & echo started\n`);
    await until(shell.stdout, /\nstarted/);
    await eventually(async () => (await running(sleep)).length === 2, "both jobs run");
    await shell.close();
    expect(await running(sleep)).toEqual([]);
  });

  it("leaves nothing of a program that ended by itself", async () => {
    const place = await openPlace({ settings });
    const sleep = uniqueSleep();
    const program = await start(place, `${sleep} >/dev/null 2>&1 </dev/null & echo left`);
    await finished(program.stdout.resume());
    expect(await program.ended).toEqual(status(0));
    await program.close();
    expect(await running(sleep)).toEqual([]);
  });

  it("ends a program that has hardly started", async () => {
    const place = await openPlace({ settings });
    const sleep = uniqueSleep();
    const request = { program: { kind: "exec", command: sleep }, environment: {}, channel: 0 } as const;
    const starting = Effect.scoped(place.environment.start({ ...request, terminal: undefined }));
    await Effect.runPromise(starting);
    expect(await running(sleep)).toEqual([]);
  });

  it("removes the connection's directories, whatever its user did to them", async () => {
    const directory = await temporaryDirectory();
    await chmod(directory, 0o755);
    process.env.TMPDIR = directory;
    const place = await openPlace({ settings });
    expect(await readdir(directory)).toHaveLength(1);
    await run(place, "mkdir -p ~/a/b; touch ~/a/b/c; chmod 0 ~/a/b ~/a ~; ln -s /usr ~/../link; true");
    await place.close();
    expect(await readdir(directory)).toEqual([]);
    expect(place.log.entries.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("the end of a sandbox", () => {
  it("ends daemons that left their session", async () => {
    const place = await openPlace({ settings: { isolation: "bubblewrap" } });
    const sleep = uniqueSleep();
    const program = await start(place, `setsid -f ${sleep} >/dev/null 2>&1 </dev/null; echo ready; cat`);
    await until(program.stdout, /ready/);
    await eventually(async () => (await running(sleep)).length > 0, "the daemon runs");
    program.stdin.end();
    expect(await program.ended).toEqual(status(0));
    await program.close();
    await eventually(async () => (await running(sleep)).length === 0, "the daemon is gone");
  });
});
