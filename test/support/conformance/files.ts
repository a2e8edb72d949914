/** File transfer: sftp, scp by both protocols, rsync. One connection, for the environment may end with it. */
import { createReadStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { bytes, digestOf } from "../bytes.ts";
import type { Result } from "../command.ts";
import { directory } from "../resources.ts";
import type { SshClient } from "../ssh.ts";
import type { Subject } from "./subject.ts";

export const files = ({ ssh, options: { lacks, sharesFiles } }: Subject): void => {
  const has = (what: (typeof lacks)[number]) => !lacks.includes(what);

  /** Sends a folder there and brings it back; both ways must succeed and change nothing. */
  const roundTrip = async (
    send: (client: SshClient, from: string, to: string) => Promise<Result>,
    bring: (client: SshClient, from: string, to: string) => Promise<Result>,
  ) => {
    await using here = await directory();
    await using client = await ssh().multiplexed();
    const there = (await client.run("mktemp -d")).stdout.trim();
    expect(there).toMatch(/^\//);
    await mkdir(join(here.path, "folder"));
    const digest = await write(join(here.path, "folder/large"), 3_000_000);
    await writeFile(join(here.path, "folder/with space ü"), "small");
    await writeFile(join(here.path, "folder/empty"), "");
    expect(await send(client, join(here.path, "folder"), `:${there}`)).toMatchObject({ code: 0 });
    expect((await client.run(`cat ${there}/folder/with*`)).stdout).toBe("small");
    expect(await bring(client, `:${there}/folder`, join(here.path, "back"))).toMatchObject({ code: 0 });
    expect(await digestOfFile(join(here.path, "back/large"))).toBe(digest);
    expect(await readFile(join(here.path, "back/with space ü"), "utf8")).toBe("small");
    expect(await readFile(join(here.path, "back/empty"), "utf8")).toBe("");
    await client.run(`rm -r ${there}`);
  };

  describe("a file", () => {
    if (has("sftp")) {
      it("goes there and back by sftp, is listed, renamed and removed", async () => {
        await using here = await directory();
        const digest = await write(join(here.path, "sent"), 3_000_000);
        const name = `/tmp/conformance-${here.path.split("/").at(-1)}`;
        const result = await ssh().sftp([
          `put ${here.path}/sent ${name}`,
          `chmod 640 ${name}`,
          `rename ${name} ${name}-renamed`,
          `ls -l ${name}-renamed`,
          `get ${name}-renamed ${here.path}/back`,
          `rm ${name}-renamed`,
          `-ls ${name}-renamed`,
        ]);
        expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/-rw-r-----.* 3000000 /) });
        expect(result.stderr).toContain("not found");
        expect(await digestOfFile(join(here.path, "back"))).toBe(digest);
      });
    }
    if (has("sftp") && sharesFiles) {
      it("goes there and back by scp over SFTP", () =>
        roundTrip(
          (client, from, to) => client.scp(from, to),
          (client, from, to) => client.scp(from, to),
        ));
    }
    if (has("scp") && sharesFiles) {
      it("goes there and back by scp's old protocol", () =>
        roundTrip(
          (client, from, to) => client.scp(from, to, { legacy: true }),
          (client, from, to) => client.scp(from, to, { legacy: true }),
        ));
    }
    if (has("rsync") && sharesFiles) {
      it("goes there and back by rsync", () =>
        roundTrip(
          (client, from, to) => client.rsync(from, to),
          (client, from, to) => client.rsync(`${from}/`, to),
        ));
    }
    it("is not given by a subsystem that does not exist, and the connection goes on", async () => {
      await using client = await ssh().multiplexed();
      expect((await client.subsystem("no-such-subsystem")).code).not.toBe(0);
      expect((await client.run("echo goes on")).stdout).toBe("goes on\n");
    });
  });
};

const write = async (path: string, count: number): Promise<string> => {
  const { stream, digest } = bytes(count);
  await writeFile(path, stream);
  return digest();
};

const digestOfFile = async (path: string): Promise<string> => (await digestOf(createReadStream(path))).digest;
