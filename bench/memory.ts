/** What an authenticated connection that does nothing costs the server. */
import { type NodeClient, nodeClient } from "../test/support/node-client.ts";
import { processTree, pssBytes } from "../test/support/resources.ts";
import { type Benchmark, median } from "./measure.ts";
import { type Server, startServers } from "./servers.ts";

const CONNECTIONS = 200;
const AT_ONCE = 8;
const SETTLING_MILLISECONDS = 3000;

export const memory: Benchmark = {
  name: "memory",
  run: async (settings, say) => {
    const rounds = settings.quick ? 1 : 2;
    say(`${CONNECTIONS} idle connections, ${rounds} times with new servers`);
    const kibibytes = { ours: [] as number[], reference: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      await using servers = await startServers(settings);
      for (const who of ["ours", "reference"] as const)
        kibibytes[who].push(await perConnection(servers[who]));
    }
    return {
      title: "Memory",
      reference: "sshd",
      rows: [
        {
          what: `per idle connection, ${CONNECTIONS} of them`,
          unit: "KiB",
          better: "lower",
          ours: median(kibibytes.ours),
          reference: median(kibibytes.reference),
          goal: 1,
        },
      ],
      notes: [
        "The growth of the proportional share (PSS) of all the server's processes, from before the first connection.",
      ],
    };
  },
};

const perConnection = async (server: Server): Promise<number> => {
  const before = await pssOf(server.pid);
  const open: NodeClient[] = [];
  try {
    while (open.length < CONNECTIONS) {
      open.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => nodeClient(server.target)))));
    }
    await new Promise((resolve) => setTimeout(resolve, SETTLING_MILLISECONDS));
    return ((await pssOf(server.pid)) - before) / open.length / 1024;
  } finally {
    await Promise.all(open.map((client) => client[Symbol.asyncDispose]()));
  }
};

const pssOf = async (pid: number): Promise<number> =>
  (await processTree(pid)).reduce((sum, each) => sum + pssBytes(each), 0);
