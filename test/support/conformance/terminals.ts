/** Terminals: size, type, change of size, control characters, what is printed last. */
import { describe, expect, it } from "vitest";
import type { Subject } from "./subject.ts";

export const terminals = ({ ssh }: Subject): void => {
  describe("a terminal", () => {
    it("holds a shell, whose exit status arrives", async () => {
      await using terminal = ssh().terminal();
      terminal.write("test -t 0 && test -t 1 && test -t 2 && echo all th''ree\n");
      await terminal.waitFor("all three");
      terminal.write("exit 7\n");
      expect(await terminal.ending).toEqual({ code: 7, signal: null });
    });

    it("has the client's type and size from the start", async () => {
      await using terminal = ssh().terminal("stty size; echo type=$TERM", {
        columns: 132,
        rows: 43,
        term: "vt220",
      });
      await terminal.waitFor(/^43 132\r?$/m);
      await terminal.waitFor("type=vt220");
      expect(await terminal.ending).toMatchObject({ code: 0 });
    });

    it("tells the program about a new size", async () => {
      // The size is asked for outside of the trap: bash loses a signal that comes while it handles another.
      await using terminal = ssh().terminal(
        "trap 'echo changed' WINCH; while :; do sleep 0.2; echo \"size $(stty size).\"; done",
        { columns: 80, rows: 24 },
      );
      await terminal.waitFor("size 24 80.");
      terminal.resize(111, 44);
      await terminal.waitFor("changed");
      await terminal.waitFor("size 44 111.");
      terminal.resize(60, 20);
      await terminal.waitFor("changed");
      await terminal.waitFor("size 20 60.");
    });

    it("interrupts with Ctrl-C and ends input with Ctrl-D", async () => {
      await using terminal = ssh().terminal();
      terminal.write("sh -c 'echo about; exec sleep 1000'\n");
      await terminal.waitFor(/^about/m);
      terminal.write("\u0003");
      terminal.write("echo still al''ive; cat\n");
      await terminal.waitFor("still alive");
      terminal.write("said to cat\n");
      await terminal.waitFor(/^said to cat\r?\nsaid to cat/m);
      terminal.write("\u0004");
      terminal.write("exit 8\n");
      expect(await terminal.ending).toEqual({ code: 8, signal: null });
    });

    it("keeps the modes of the client's terminal", async () => {
      await using terminal = ssh().terminal("stty -a");
      await terminal.waitFor(/(?<!-)\bicanon\b[\s\S]*(?<!-)\becho\b/);
      expect(await terminal.ending).toMatchObject({ code: 0 });
    });

    it("loses nothing of what a program prints before it ends", async () => {
      const { stdout, code } = await ssh().run("head -c 200000 /dev/zero | tr '\\0' x; exit 5", {
        terminal: true,
      });
      expect([stdout.length, code]).toEqual([200_000, 5]);
    });
  });
};
