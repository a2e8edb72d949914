/** What the inspector costs a login while it is on and nobody looks, and each connection that stays. */
import { inspectSection } from "../test/support/inspector.ts";
import { nodeClient } from "../test/support/node-client.ts";
import { type Benchmark, inTurns, seconds } from "./measure.ts";
import { type Server, startBerth } from "./servers.ts";

/** From the connection to the end of `true`, by a client in this process: none of its own start is measured. */
const logIn = async ({ target }: Server): Promise<void> => {
  await using client = await nodeClient(target);
  const program = await client.exec("true");
  program.channel.resume();
  const { status } = await program.exit;
  if (status !== 0) throw new Error(`\`true\` ended with ${status}`);
};

export const inspector: Benchmark = {
  name: "inspector",
  run: async (settings, say) => {
    await using ours = await startBerth(settings.noise ? {} : { inspect: inspectSection() });
    await using reference = await startBerth();
    const repetitions = settings.quick ? 20 : 200;
    say(`login and \`true\` with the inspector on and off, ${repetitions} times each`);
    const latency = await inTurns(repetitions, { ours, reference }, (server) => seconds(() => logIn(server)));
    return {
      title: "The inspector, on and looked at by nobody",
      reference: "inspector off",
      rows: [
        {
          what: "login + `true`",
          unit: "ms",
          better: "lower",
          ours: latency.ours * 1000,
          reference: latency.reference * 1000,
          goal: 0.95,
        },
      ],
      notes: ["Both columns are Berth. Above 0.95 the inspector costs less than 5% of a login's latency."],
    };
  },
};
