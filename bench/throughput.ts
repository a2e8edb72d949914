/** Megabytes per second through one session, down and up, for the ciphers that matter. */
import { must } from "../test/support/command.ts";
import { type Benchmark, inTurns, type Row, seconds } from "./measure.ts";
import { type Server, startServers } from "./servers.ts";

const CIPHERS = ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"];

/** The client's streams are the kernel's own, so that this process is not in the way. */
const DIRECTIONS = {
  down: (ssh: string, count: number) => `${ssh} 'head -c ${count} /dev/zero' >/dev/null`,
  up: (ssh: string, count: number) => `head -c ${count} /dev/zero | ${ssh} 'cat >/dev/null'`,
};

/** How often each transfer is made before the first is measured: so long V8 compiles what it sees used. */
const WARMING_UP = 2;

export const throughput: Benchmark = {
  name: "throughput",
  run: async (settings, say) => {
    await using servers = await startServers(settings);
    const count = settings.quick ? 200_000_000 : 500_000_000;
    const repetitions = settings.quick ? 2 : 5;
    const kinds = CIPHERS.flatMap((cipher) =>
      Object.entries(DIRECTIONS).map(([direction, line]) => {
        const transfer = ({ client }: Server, bytes: number) =>
          seconds(() =>
            must("sh", ["-c", line(client.commandLine({ Ciphers: cipher }), bytes)], client.surroundings),
          );
        const measure = async (server: Server): Promise<number> => {
          // What a login costs is not the transfer's.
          const login = await transfer(server, 0);
          return count / 1_000_000 / ((await transfer(server, count)) - login);
        };
        return { what: `${direction}, ${cipher}`, measure };
      }),
    );
    say("transfers to warm up by");
    for (let time = 0; time < WARMING_UP; time++) {
      for (const { measure } of kinds) {
        await measure(servers.ours);
        await measure(servers.reference);
      }
    }
    const rows: Row[] = [];
    for (const { what, measure } of kinds) {
      say(`${count / 1_000_000} MB ${what}, ${repetitions} times`);
      const speeds = await inTurns(repetitions, servers, measure);
      rows.push({ what, unit: "MB/s", better: "higher", ...speeds, goal: 1 });
    }
    return {
      title: "Throughput of one session",
      reference: "sshd",
      rows,
      notes: [
        "The time of a login without transfer is taken off. The client runs on the same machine and shares its cores.",
        "Both servers have made each transfer before, as servers have that have run for a while.",
      ],
    };
  },
};
