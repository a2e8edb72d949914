/** How long a login with `true` takes, and how many of them eight clients get through in a second. */
import { type Benchmark, inTurns, seconds } from "./measure.ts";
import { type Server, startServers } from "./servers.ts";

const CLIENTS = 8;

const logIn = async ({ client }: Server): Promise<void> => {
  const { code, stderr } = await client.run("true");
  if (code !== 0) throw new Error(`the login failed: ${stderr}`);
};

export const login: Benchmark = {
  name: "login",
  run: async (settings, say) => {
    await using servers = await startServers(settings);
    const repetitions = settings.quick ? 10 : 30;
    say(`login and \`true\`, ${repetitions} times each`);
    const latency = await inTurns(repetitions, servers, (server) => seconds(() => logIn(server)));
    const each = settings.quick ? 3 : 6;
    const rounds = settings.quick ? 2 : 4;
    say(`${CLIENTS} clients with ${each} logins each, ${rounds} times`);
    const crowd = await inTurns(rounds, servers, async (server) => {
      const oneClient = async () => {
        for (let count = 0; count < each; count++) await logIn(server);
      };
      return (
        (CLIENTS * each) / (await seconds(() => Promise.all(Array.from({ length: CLIENTS }, oneClient))))
      );
    });
    return {
      title: "Logins",
      reference: "sshd",
      rows: [
        {
          what: "login + `true`",
          unit: "ms",
          better: "lower",
          ours: latency.ours * 1000,
          reference: latency.reference * 1000,
          goal: 1,
        },
        { what: `logins per second, ${CLIENTS} clients`, unit: "1/s", better: "higher", ...crowd, goal: 1 },
      ],
      notes: ["The client is OpenSSH's; its own start and key exchange are part of both columns."],
    };
  },
};
