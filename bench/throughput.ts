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

export const throughput: Benchmark = {
  name: "throughput",
  run: async (settings, say) => {
    await using servers = await startServers(settings);
    const count = settings.quick ? 200_000_000 : 500_000_000;
    const repetitions = settings.quick ? 2 : 3;
    const rows: Row[] = [];
    for (const cipher of CIPHERS) {
      for (const [direction, line] of Object.entries(DIRECTIONS)) {
        say(`${count / 1_000_000} MB ${direction} with ${cipher}, ${repetitions} times`);
        const transfer = ({ client }: Server, bytes: number) =>
          seconds(() =>
            must("sh", ["-c", line(client.commandLine({ Ciphers: cipher }), bytes)], client.surroundings),
          );
        const speeds = await inTurns(repetitions, servers, async (server) => {
          // What a login costs is not the transfer's.
          const login = await transfer(server, 0);
          return count / 1_000_000 / ((await transfer(server, count)) - login);
        });
        rows.push({ what: `${direction}, ${cipher}`, unit: "MB/s", better: "higher", ...speeds, goal: 1 });
      }
    }
    return {
      title: "Throughput of one session",
      reference: "sshd",
      rows,
      notes: [
        "The time of a login without transfer is taken off. The client runs on the same machine and shares its cores.",
      ],
    };
  },
};
