/** Nothing of a login stays behind in the daemon, however it ended. */
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { DEBUGGABLE, objectCount } from "../support/load.ts";
import { nodeClient } from "../support/node-client.ts";
import { type Directory, directory, eventually, openFiles, processTree } from "../support/resources.ts";
import type { SshTarget } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const AT_ONCE = 8;
const EACH = 40;

let home: Directory;
let daemon: Daemon;
let target: SshTarget;
let files: number;

beforeAll(async () => {
  home = await directory();
  const key = await generateKey(home.path, "user");
  daemon = await startDaemon({
    config: {
      auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
      backend: "process",
      process: { isolation: "none" },
    },
    env: DEBUGGABLE,
  });
  target = daemon.target({ identityFile: key.file });
  files = await steady(async () => openFiles(daemon.pid), "open files");
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

/** A number, as soon as two looks after one another see the same. */
const steady = (look: () => Promise<number>, what: string): Promise<number> => {
  let before: number | undefined;
  return eventually(
    async () => {
      const count = await look();
      const isSteady = count === before;
      before = count;
      return isSteady && count;
    },
    `the number of ${what} does not change any more`,
    100,
  );
};

const runsToItsEnd = async (terminal: boolean): Promise<void> => {
  await using client = await nodeClient(target);
  const { channel, stderr, exit } = await client.exec("exit 3", { terminal });
  channel.resume();
  stderr.resume();
  expect(await exit).toEqual({ status: 3, signal: undefined });
};

const logins: ReadonlyArray<() => Promise<void>> = [
  () => runsToItsEnd(false),
  () => runsToItsEnd(true),
  async function leavesItsProgram() {
    await using client = await nodeClient(target);
    const { channel } = await client.exec("echo in; sleep 1000");
    await once(channel, "data");
  },
  async function isRefused() {
    await expect(nodeClient({ ...target, username: "nobody" })).rejects.toThrow(
      "authentication methods failed",
    );
  },
];

const logIn = async (times: number): Promise<void> => {
  const left = Array.from({ length: times }, () => logins).flat();
  const one = async (): Promise<void> => {
    for (let login = left.pop(); login !== undefined; login = left.pop()) await login();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
};

/** Waits until everybody is gone, and what their going set in motion is done. */
const objectsLeft = async (): Promise<number> => {
  const { log, pid } = daemon;
  const isGone = async () =>
    log.all("SSH_DISCONNECTED").length >= log.all("SSH_CONNECTED").length &&
    openFiles(pid) === files &&
    (await processTree(pid)).length === 1;
  await eventually(isGone, "no open file and no process is left", 100);
  return steady(() => objectCount(daemon), "objects");
};

it(`${EACH} logins of each kind leave no object, no open file and no process behind`, {
  timeout: 300_000,
}, async () => {
  // What the first ones teach the daemon stays.
  await logIn(5);
  const objects = await objectsLeft();
  await logIn(EACH);
  // One object for each login of one kind would be twice as many.
  expect((await objectsLeft()) - objects).toBeLessThan(EACH / 2);
});
