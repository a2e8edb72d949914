/** Programs without terminal: exit status, streams, environment, the end of input. */
import { describe, expect, it } from "vitest";
import type { Subject } from "./subject.ts";

export const programs = ({ ssh, options }: Subject): void => {
  describe("a program", () => {
    it.each([0, 1, 3, 127, 254])("ends with its exit status %i", async (status) => {
      expect(await ssh().run(`exit ${status}`)).toMatchObject({ code: status, stdout: "" });
    });

    it("that does not exist is 127, and says so on standard error", async () => {
      const result = await ssh().run("no-such-command-anywhere");
      expect(result).toMatchObject({ code: 127, stdout: "" });
      expect(result.stderr).toContain("not found");
    });

    it("has standard error apart from standard output", async () => {
      expect(await ssh().run("echo to the one; echo to the other >&2")).toMatchObject({
        code: 0,
        stdout: "to the one\n",
        stderr: "to the other\n",
      });
    });

    it("has no terminal", async () => {
      const { stdout } = await ssh().run(
        "for fd in 0 1 2; do test -t $fd && echo $fd is a terminal; done; echo end",
      );
      expect(stdout).toBe("end\n");
    });

    it("gets its command as it was written", async () => {
      const text = "two  spaces, 'single', \"double\", $HOME, `back`, \\n, ü ✓ 漢";
      const quoted = text.replaceAll("'", "'\\''");
      expect((await ssh().run(`printf '%s|' '${quoted}'\nprintf end`)).stdout).toBe(`${text}|end`);
    });

    it("without a command is a shell that reads its input", async () => {
      expect(await ssh().run(undefined, { stdin: "echo from the shell\nexit 5\n" })).toMatchObject({
        code: 5,
        stdout: expect.stringContaining("from the shell\n"),
      });
    });

    it("gets its input and the end of it", async () => {
      expect(await ssh().run("cat; exit 3", { stdin: "hi\n" })).toMatchObject({ code: 3, stdout: "hi\n" });
      expect((await ssh().run("wc -c", { stdin: "x".repeat(100_000) })).stdout.trim()).toBe("100000");
    });

    it("goes on after the end of its input", async () => {
      expect(await ssh().run("cat; echo still; echo here >&2; exit 4", { stdin: "in," })).toMatchObject({
        code: 4,
        stdout: "in,still\n",
        stderr: "here\n",
      });
    });

    it("that closed its output still tells how it ended", async () => {
      expect(await ssh().run("echo last; exec >&- 2>&-; cat; exit 6", { stdin: "unseen" })).toMatchObject({
        code: 6,
        stdout: "last\n",
      });
    });

    it("that reads only some of its input ends when it is done", async () => {
      expect(await ssh().run("head -c 3; exit 2", { stdin: Buffer.alloc(4_000_000, "a") })).toMatchObject({
        code: 2,
        stdout: "aaa",
      });
    });

    it("loses no output when it ends at once after it", async () => {
      const result = await ssh().run("head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 9");
      expect([result.bytes.length, result.stderr.length, result.code]).toEqual([3_000_000, 1_000_000, 9]);
    });

    it("passes every byte as it is, on every stream", async () => {
      const all = Buffer.from(Array.from({ length: 256 * 64 }, (_, index) => index % 256));
      expect((await ssh().run("cat", { stdin: all })).bytes.equals(all)).toBe(true);
      const { stderr } = await ssh().run("cat >&2", { stdin: all.subarray(0, 128) });
      expect(stderr).toBe(all.subarray(0, 128).toString("latin1"));
    });

    if (options.acceptsEnvironment) {
      it("gets the environment that the client sent", async () => {
        const value = "ü = 'a b' \"c\"; $d";
        const { stdout } = await ssh().run('printf %s "$LC_CONFORMANCE"', {
          env: { LC_CONFORMANCE: value },
          options: { SendEnv: "LC_CONFORMANCE" },
        });
        expect(stdout).toBe(value);
      });
    }
  });
};
