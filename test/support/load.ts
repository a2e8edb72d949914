/** Many idle connections and a stream of logins, while a page shows them: how its frames come, and the daemon's memory. */
import { once } from "node:events";
import type { Page } from "playwright-core";
import { WebSocket } from "ws";
import type { Daemon } from "./daemon.ts";
import { type NodeClient, nodeClient } from "./node-client.ts";
import type { SshTarget } from "./ssh.ts";

/** How many connections are made at once. */
const AT_ONCE = 16;

/** Logs in `count` times and stays. */
export const idleConnections = async (target: SshTarget, count: number): Promise<readonly NodeClient[]> => {
  const open: NodeClient[] = [];
  const connect = async (): Promise<void> => {
    while (open.length + pending < count) {
      pending += 1;
      const client = await nodeClient(target);
      pending -= 1;
      open.push(client);
    }
  };
  let pending = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, connect));
  return open;
};

/** Logs in and out `perSecond` times a second; the ones that the machine is too slow for are made later. */
export const logInSteadily = async (
  target: SshTarget,
  perSecond: number,
  seconds: number,
): Promise<number> => {
  const started = performance.now();
  const total = perSecond * seconds;
  let begun = 0;
  let done = 0;
  const one = async (): Promise<void> => {
    await using _ = await nodeClient(target);
    done += 1;
  };
  const under = new Set<Promise<void>>();
  while (begun < total) {
    const due = Math.min(total, ((performance.now() - started) / 1000) * perSecond);
    while (begun < due && under.size < AT_ONCE) {
      begun += 1;
      const login = one().finally(() => under.delete(login));
      under.add(login);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await Promise.all(under);
  return done;
};

export interface Frames {
  readonly count: number;
  readonly longestMillis: number;
  /** How many took more than 200 ms. */
  readonly dropped: number;
  /** 99 of 100 took at most this long. */
  readonly p99Millis: number;
}

/** Scrolls the tree up and down without end, and measures from frame to frame. */
export const measureFrames = (page: Page): Promise<void> =>
  page.evaluate(`{
    const tree = document.querySelector(".tree");
    const frames = [];
    let last = performance.now();
    let direction = 1;
    let isOver = false;
    const frame = (now) => {
      frames.push(now - last);
      last = now;
      const before = tree.scrollTop;
      tree.scrollTop += direction * 60;
      if (tree.scrollTop === before) direction = -direction;
      if (!isOver) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    globalThis.stopFrames = () => { isOver = true; return frames; };
  }`);

export const framesMeasured = async (page: Page): Promise<Frames> => {
  const frames = (await page.evaluate("stopFrames()")) as readonly number[];
  const sorted = [...frames].sort((one, other) => one - other);
  return {
    count: frames.length,
    longestMillis: sorted.at(-1) ?? 0,
    dropped: frames.filter((millis) => millis > 200).length,
    p99Millis: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
};

/** Lets a daemon's memory be read after its garbage was collected, by the debugger's protocol. */
export const DEBUGGABLE = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };

/** Bytes of a daemon that was started with `DEBUGGABLE`, without garbage. */
export const heapBytes = (daemon: Daemon): Promise<number> =>
  debugging(daemon, async (ask) => {
    await ask("HeapProfiler.enable");
    await ask("HeapProfiler.collectGarbage");
    await ask("HeapProfiler.collectGarbage");
    const expression = "(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())";
    const { result } = await ask("Runtime.evaluate", { expression });
    return result?.value ?? Number.NaN;
  });

/**
 * How many objects there are in a daemon that was started with `DEBUGGABLE`, without garbage. As long as the daemon
 * learns nothing new, they are the same number after each login: unlike bytes, to which compiled code adds.
 */
export const objectCount = (daemon: Daemon): Promise<number> =>
  debugging(daemon, async (ask) => {
    const { result: prototype } = await ask("Runtime.evaluate", { expression: "Object.prototype" });
    const { objects } = await ask("Runtime.queryObjects", { prototypeObjectId: prototype?.objectId });
    const { result } = await ask("Runtime.callFunctionOn", {
      objectId: objects?.objectId,
      functionDeclaration: "function () { return this.length; }",
    });
    return result?.value ?? Number.NaN;
  });

interface RemoteObject {
  readonly objectId?: string;
  readonly value?: number;
}

type Ask = (
  method: string,
  params?: object,
) => Promise<{ readonly result?: RemoteObject; readonly objects?: RemoteObject }>;

const debugging = async <A>(daemon: Daemon, use: (ask: Ask) => Promise<A>): Promise<A> => {
  const socket = new WebSocket(await debuggerOf(daemon));
  const answers = new Map<number, (result: Awaited<ReturnType<Ask>>) => void>();
  socket.on("message", (data) => {
    const { id, result } = JSON.parse(String(data));
    answers.get(id)?.(result);
  });
  await once(socket, "open");
  try {
    return await use(
      (method, params = {}) =>
        new Promise((resolve) => {
          const id = answers.size + 1;
          answers.set(id, resolve);
          socket.send(JSON.stringify({ id, method, params }));
        }),
    );
  } finally {
    socket.close();
  }
};

const addresses = new WeakMap<Daemon, string>();

const debuggerOf = async (daemon: Daemon): Promise<string> => {
  const known = addresses.get(daemon);
  if (known !== undefined) return known;
  const [address] = await daemon.output.waitFor(/ws:\/\/127\.0\.0\.1:\d+\/\S+/);
  addresses.set(daemon, address);
  return address;
};
