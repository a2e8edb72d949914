/** What a post-quantum handshake costs: against our own without, and against the method that sshd prefers. */
import { newerOpenSsh } from "../test/support/newer.ts";
import { type Benchmark, inTurns, type Pair, seconds } from "./measure.ts";
import { type Server, startServers } from "./servers.ts";

const HYBRID = "mlkem768x25519-sha256";
const CLASSIC = "curve25519-sha256";
/** The post-quantum default of OpenSSH 9.0 to 9.9, which Debian 12's sshd has. */
const REFERENCE = "sntrup761x25519-sha512@openssh.com";
/** A handshake may cost so much more than one without. */
const MOST = 1.3;

interface Handshake {
  readonly server: Server;
  readonly kex: string;
}

export const keyExchange: Benchmark = {
  name: "key-exchange",
  run: async (settings, say) => {
    const env = await newerOpenSsh();
    await using servers = await startServers(settings);
    const repetitions = settings.quick ? 10 : 60;
    const handshake = ({ server, kex }: Handshake) =>
      seconds(async () => {
        const options = { KexAlgorithms: kex, PreferredAuthentications: "none" };
        const { stderr } = await server.client.run("true", { env, options });
        if (!stderr.includes("Permission denied")) throw new Error(`the handshake failed: ${stderr}`);
      });
    const compare = async (pair: Pair<Handshake>): Promise<Pair<number>> => {
      const { ours, reference } = await inTurns(repetitions, pair, handshake);
      return { ours: ours * 1000, reference: reference * 1000 };
    };
    const { ours: berth, reference: sshd } = servers;
    const hybrid = { server: berth, kex: settings.noise ? REFERENCE : HYBRID };
    const classic = { server: berth, kex: settings.noise ? REFERENCE : CLASSIC };
    say(`handshakes, ${repetitions} times each`);
    const row = { unit: "ms", better: "lower" } as const;
    return {
      title: "Handshakes",
      reference: "sshd, or without ML-KEM",
      rows: [
        {
          ...row,
          what: `${HYBRID} against our own ${CLASSIC}`,
          goal: 1 / MOST,
          ...(await compare({ ours: hybrid, reference: classic })),
        },
        {
          ...row,
          what: `${HYBRID} against sshd's sntrup761x25519-sha512`,
          goal: 1,
          ...(await compare({ ours: hybrid, reference: { server: sshd, kex: REFERENCE } })),
        },
      ],
      notes: ["The client is a current OpenSSH; its start and its part of the exchange are in every figure."],
    };
  },
};
