/** Berth as a proxy in front of an sshd, beside `ssh -J` through another sshd to the same one. */
import { must } from "../test/support/command.ts";
import { SshClient } from "../test/support/ssh.ts";
import { startSshd } from "../test/support/sshd.ts";
import { startProxiedSshd } from "../test/support/sshproxy.ts";
import { type Benchmark, inTurns, type Pair, type Row, seconds } from "./measure.ts";

const DIRECTIONS = {
  down: (ssh: string, count: number) => `${ssh} 'head -c ${count} /dev/zero' >/dev/null`,
  up: (ssh: string, count: number) => `head -c ${count} /dev/zero | ${ssh} 'cat >/dev/null'`,
};

export const sshproxy: Benchmark = {
  name: "sshproxy",
  run: async (settings, say) => {
    await using servers = await startProxiedSshd({}, { log: { level: "info" } });
    await using jump = await startSshd();
    const jumping = { ...servers.sshd.target, jump: jump.target };
    await using ours = await SshClient.to(settings.noise ? jumping : servers.proxy.target);
    await using reference = await SshClient.to(jumping);
    const pair: Pair<SshClient> = { ours, reference };
    const repetitions = settings.quick ? 10 : 40;
    say(`login and \`true\` through a hop, ${repetitions} times each`);
    const latency = await inTurns(repetitions, pair, (client) => seconds(() => logIn(client)));
    const rows: Row[] = [
      {
        what: "login + `true`",
        unit: "ms",
        better: "lower",
        ours: latency.ours * 1000,
        reference: latency.reference * 1000,
        goal: 1,
      },
    ];
    const count = settings.quick ? 100_000_000 : 500_000_000;
    const rounds = settings.quick ? 2 : 5;
    for (const [direction, line] of Object.entries(DIRECTIONS)) {
      say(`${count / 1_000_000} MB ${direction} through a hop, ${rounds} times`);
      const transfer = (client: SshClient, bytes: number) =>
        seconds(() =>
          must("sh", ["-c", line(client.commandLine(), bytes)], {
            ...client.surroundings,
            withinSeconds: 300,
          }),
        );
      const speeds = await inTurns(rounds, pair, async (client) => {
        // What a login costs is not the transfer's.
        const login = await transfer(client, 0);
        return count / 1_000_000 / ((await transfer(client, count)) - login);
      });
      rows.push({ what: direction, unit: "MB/s", better: "higher", ...speeds, goal: 1 });
    }
    return {
      title: "The SSH proxy",
      reference: "ssh -J",
      rows,
      notes: [
        "Both columns end at the same sshd. Berth decrypts and encrypts again, which is what makes policy and audit possible; with `ssh -J` the client does both hops' cryptography itself.",
      ],
    };
  },
};

const logIn = async (client: SshClient): Promise<void> => {
  const { code, stderr } = await client.run("true");
  if (code !== 0) throw new Error(`the login failed: ${stderr}`);
};
