import { once } from "node:events";
import { stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { eventually, processesWith } from "../../../support/resources.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { openPlace, run, start, status } from "./place.ts";

const settings = { isolation: "bubblewrap", shell: "/bin/bash" } as const;

describe("a sandbox", () => {
  it("shows the user by name, and neither root nor privileges", async () => {
    const place = await openPlace({ settings, username: "jane@example.com" });
    const { stdout } = await run(
      place,
      "whoami; id; getent passwd | wc -l; grep -E 'Cap(Prm|Eff|Amb)|NoNewPrivs' /proc/self/status | cut -f2",
    );
    expect(stdout).toBe(
      "jane@example.com\nuid=1000(jane@example.com) gid=1000(jane@example.com) groups=1000(jane@example.com)\n3\n" +
        "0000000000000000\n0000000000000000\n0000000000000000\n1\n",
    );
  });

  it("is on the host nobody when Berth is root", async () => {
    const place = await openPlace({ settings });
    await start(place, "exec -a sandbox-owner sleep 1000");
    const [program = 0] = await eventually(async () => {
      const found = await processesWith("sandbox-owner\0");
      return found.length > 0 && found;
    }, "the program runs");
    const owner = (await stat(`/proc/${program}`)).uid;
    expect(owner).toBe(process.getuid?.() === 0 ? 65534 : process.getuid?.());
  });

  it("cannot see or change the host", async () => {
    const outside = join(await temporaryDirectory(), "secret");
    await writeFile(outside, "secret");
    const place = await openPlace({ settings });
    const reads = [
      "/root",
      "/etc/shadow",
      "/etc/ssh",
      "/var/log",
      "/sys",
      "/mnt",
      outside,
      "/proc/1/root/etc/shadow",
    ];
    for (const path of reads) expect((await run(place, `ls ${path}`)).exit).not.toEqual(status(0));
    for (const path of ["/usr/x", "/bin/x", "/etc/hosts", "/proc/sys/kernel/core_pattern", "/lib/x"]) {
      expect((await run(place, `echo x > ${path}`)).exit).not.toEqual(status(0));
    }
    expect((await run(place, "ls /dev/pts /home")).stdout).toContain("jane");
  });

  it("has its own processes, and shares /tmp among the programs of a connection only", async () => {
    const place = await openPlace({ settings });
    const other = await openPlace({ settings });
    const listing = (await run(place, "ps -e -o comm=")).stdout;
    expect(listing).toMatch(/^bwrap\nm?awk\n/);
    expect(listing).not.toContain("node");
    await run(place, "echo shared > /tmp/note; echo shared > /var/tmp/note2");
    expect((await run(place, "cat /tmp/note /tmp/note2")).stdout).toBe("shared\nshared\n");
    expect((await run(other, "ls -A /tmp")).stdout).toBe("");
  });

  it("can make terminals of its own", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "/usr/bin/python3 -c 'import pty; pty.spawn([\"tty\"])'");
    expect(stdout.trim()).toMatch(/^\/dev\/pts\/\d+$/);
  });

  it("shares the network, or has none", async () => {
    const server = createServer((_, response) => response.end("reached")).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const ask = `/usr/bin/python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:${address.port}").read())'`;
    const shared = await openPlace({ settings });
    expect((await run(shared, ask)).stdout).toBe("b'reached'\n");
    const isolated = await openPlace({ settings: { ...settings, network: false } });
    const { exit, stderr } = await run(isolated, ask);
    expect(stderr).toContain("Connection refused");
    expect(exit).toEqual(status(1));
  });

  it("has no file descriptors but a program's three", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "ls -l /proc/self/fd");
    expect(stdout).not.toMatch(/ [345] -> (socket|pipe)/);
  });
});
