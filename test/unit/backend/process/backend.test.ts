import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Effect } from "effect";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { isolationWarning } from "../../../../src/backend/process/isolation.ts";
import { defaults } from "../../../../src/config/schema.ts";
import { failureOf, scoped } from "../../../support/scoped.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { isolations, openPlace, provision, run, start, status } from "./place.ts";

/** Joins standard input and output with a Unix socket. */
const RELAY = `
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
def up():
    while b := os.read(0, 65536): s.sendall(b)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while b := s.recv(65536): os.write(1, b)
`;

const PATH = process.env.PATH;
afterEach(() => {
  process.env.PATH = PATH;
});

/** A bwrap that comes first in the daemon's path. */
const replaceBwrap = async (script: string): Promise<void> => {
  const directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  await writeFile(join(directory, "bwrap"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env.PATH = `${directory}:${PATH}`;
};

it("a host on which bubblewrap works late isolates programs all the same", async () => {
  await replaceBwrap(`sleep 6; PATH='${PATH}'; exec bwrap "$@"`);
  const { outcome, log } = await provision({ settings: { isolation: "auto" } });
  expect(outcome).toMatchObject({ kind: "ready" });
  expect(log.codes()).not.toContain("PROCESS_NO_ISOLATION");
});

describe("a host without a working bubblewrap", () => {
  it("is refused where isolation is demanded, with the reason", async () => {
    await replaceBwrap("echo 'bwrap: No permissions to create new namespace' >&2; exit 1");
    const { outcome, log } = await provision({ settings: { isolation: "bubblewrap" } });
    expect(outcome).toMatchObject({
      kind: "refused",
      refusal: {
        code: "PROCESS_ISOLATION_UNAVAILABLE",
        details: { reason: expect.stringContaining("No permissions to create new namespace") },
      },
    });
    expect(log.entries).toEqual([]);
  });

  it("runs programs with a warning where it is not", async () => {
    await replaceBwrap("exit 1");
    const place = await openPlace({ settings: { isolation: "auto" } });
    const warning = place.log.entries.find(({ code }) => code === "PROCESS_NO_ISOLATION");
    expect(warning).toMatchObject({
      level: "warning",
      message: expect.stringContaining("without isolation"),
    });
    expect(await run(place, "echo on")).toMatchObject({ stdout: "on\n", exit: status(0) });
  });

  it("is refused where isolation is wished for, as long as it says neither yes nor no", async () => {
    await replaceBwrap("exec sleep 1000 >/dev/null 2>&1");
    const { outcome } = await provision({ settings: { isolation: "auto" } });
    expect(outcome).toMatchObject({
      refusal: {
        code: "PROCESS_ISOLATION_UNAVAILABLE",
        details: { reason: expect.stringContaining("did not answer in time") },
      },
    });
  });

  it.each(["echo started; echo 0", "exec >&-; exit 143"])(
    "is not fooled by one that does %s",
    async (script) => {
      await replaceBwrap(script);
      const { outcome } = await provision({ settings: { isolation: "bubblewrap" } });
      expect(outcome).toMatchObject({ refusal: { code: "PROCESS_ISOLATION_UNAVAILABLE" } });
    },
  );
});

describe("isolationWarning", () => {
  const warn = (isolation: "auto" | "bubblewrap" | "none") =>
    Effect.runPromise(isolationWarning({ ...defaults.process, isolation }));

  it("is silent when programs are isolated", async () => {
    expect([await warn("auto"), await warn("bubblewrap")]).toEqual([undefined, undefined]);
  });

  it("says when they are not", async () => {
    expect(await warn("none")).toMatch(/^Programs run without isolation.*process\.isolation is none/);
    await replaceBwrap("exit 1");
    expect(await warn("auto")).toMatch(/^Programs run without isolation/);
    expect(await warn("bubblewrap")).toMatch(/every login will be refused/);
  });
});

describe.each(isolations)("the shell, isolation %s", (isolation) => {
  it("is the configured one", async () => {
    const place = await openPlace({ settings: { isolation, shell: "/bin/dash" } });
    expect((await run(place, "readlink /proc/$$/exe; echo $SHELL")).stdout).toMatch(/dash\n\/bin\/dash\n$/);
  });

  it("is refused when it isn't there, or cannot be seen from a sandbox", async () => {
    const outside = join(await temporaryDirectory(), "sh");
    await writeFile(outside, "#!/bin/sh\n", { mode: 0o755 });
    for (const shell of [
      "/no/such/shell",
      "bash",
      "/etc/passwd",
      ...(isolation === "none" ? [] : [outside]),
    ]) {
      const { outcome } = await provision({ settings: { isolation, shell } });
      expect(outcome).toMatchObject({
        refusal: { code: "PROCESS_SHELL_NOT_FOUND", details: { tried: shell } },
      });
    }
  });
});

describe.each(isolations)("subsystems, isolation %s", (isolation) => {
  it("transfer files by OpenSSH's sftp client", async () => {
    const place = await openPlace({ settings: { isolation } });
    const server = await start(place, { kind: "subsystem", name: "sftp" });
    const directory = await temporaryDirectory();
    await writeFile(join(directory, "up"), "content");
    const batch = `put ${directory}/up remote\nrename remote moved\nget moved ${directory}/down\n`;
    // OpenSSH's client talks to a server that it starts itself: here, to a relay to ours.
    const relay = createServer((socket) => socket.pipe(server.stdin) && server.stdout.pipe(socket));
    relay.listen(join(directory, "relay"));
    onTestFinished(() => void relay.close());
    const connect = `/usr/bin/python3 -c '${RELAY}' ${directory}/relay`;
    await writeFile(join(directory, "connect"), `#!/bin/sh\nexec ${connect}\n`, { mode: 0o755 });
    const client = spawn("sftp", ["-q", "-b", "-", "-D", join(directory, "connect")]);
    client.stdin.end(batch);
    const complaints = await text(client.stderr);
    expect(complaints).toBe("");
    expect(await readFile(join(directory, "down"), "utf8")).toBe("content");
    expect(await server.ended).toEqual(status(0));
    expect((await run(place, "cat moved")).stdout).toBe("content");
  });

  it("run as configured, and only those that are", async () => {
    const subsystems = { echo: "/bin/cat", gone: "/no/such/program", sftp: "/no/such/sftp-server" };
    const place = await openPlace({ settings: { isolation, subsystems } });
    const { stdout } = await run(place, { kind: "subsystem", name: "echo" }, { input: "hi" });
    expect(stdout).toBe("hi");
    const fail = (name: string) =>
      failureOf(
        place.environment.start({
          program: { kind: "subsystem", name },
          terminal: undefined,
          environment: {},
          channel: 0,
        }),
      );
    expect(await fail("netconf")).toMatchObject({ code: "PROCESS_SUBSYSTEM_NOT_SUPPORTED" });
    expect(await fail("toString")).toMatchObject({ code: "PROCESS_SUBSYSTEM_NOT_SUPPORTED" });
    expect(await fail("gone")).toMatchObject({ code: "PROCESS_START_FAILED" });
    expect(await fail("sftp")).toMatchObject({
      code: "PROCESS_SFTP_SERVER_NOT_FOUND",
      message: expect.stringContaining("openssh-sftp-server"),
    });
  });
});

describe("TCP connections", () => {
  const echo = async (): Promise<number> => {
    const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  };

  it.each(isolations)(
    "reach loopback addresses, half-closed and to the end, isolation %s",
    async (isolation) => {
      const { environment } = await openPlace({ settings: { isolation } });
      const port = await echo();
      for (const host of ["127.0.0.1", "localhost"]) {
        const { value: socket, close } = await scoped(environment.openTcp(host, port));
        socket.end("through");
        expect(await text(socket)).toBe("through");
        await close();
        expect(socket.destroyed).toBe(true);
      }
    },
  );

  it("reach nothing else", async () => {
    const { environment } = await openPlace({ settings: { isolation: "none" } });
    for (const host of ["192.0.2.1", "example.com", "0.0.0.0", "127.0.0.1.example.com", ""]) {
      expect(await failureOf(environment.openTcp(host, 80))).toMatchObject({
        code: "PROCESS_FORWARDING_REFUSED",
      });
    }
    expect(await failureOf(environment.openTcp("127.0.0.1", 70_000))).toMatchObject({
      code: "PROCESS_FORWARDING_REFUSED",
    });
    expect(await failureOf(environment.openTcp("127.0.0.1", 1))).toMatchObject({
      code: "PROCESS_FORWARDING_FAILED",
      details: { host: "127.0.0.1", port: 1 },
    });
  });

  it("reach nothing at all in a sandbox without network", async () => {
    const { environment } = await openPlace({ settings: { isolation: "bubblewrap", network: false } });
    expect(await failureOf(environment.openTcp("127.0.0.1", await echo()))).toMatchObject({
      code: "PROCESS_FORWARDING_REFUSED",
    });
  });
});
