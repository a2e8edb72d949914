/** One login by the real `ssh`, as a world for walks: the webhooks' answers about its user, and what came of it. */
import { expect } from "vitest";
import type { Row } from "../../../src/inspect/format.ts";
import type { Result } from "../command.ts";
import { SshClient } from "../ssh.ts";
import { answer } from "../webhook-server.ts";
import type { ObservedDaemon } from "./observed.ts";
import type { Answers, Portal } from "./portal.ts";

export interface LoginWorld extends AsyncDisposable {
  readonly username: string;
  readonly answers: Answers;
  /** Sections of the user's own configuration, which overlay the daemon's. */
  readonly overlay: Record<string, unknown>;
  /** Files that the password webhook wants in the environment, by path. */
  readonly files: Record<string, string>;
  /** What the command printed and how it ended; there is one once `logIn` was called. */
  readonly ended: Promise<Result>;
  readonly logIn: (daemon: ObservedDaemon, command?: string) => void;
}

export const loginWorld = (portal: Portal): LoginWorld => {
  const { username, answers } = portal.user();
  const overlay: Record<string, unknown> = {};
  const files: Record<string, string> = {};
  answers.configuration = (...exchange) => answer({ config: overlay })(...exchange);
  answers.password = (...exchange) =>
    answer({
      success: true,
      files: Object.fromEntries(
        Object.entries(files).map(([path, text]) => [path, { value: Buffer.from(text).toString("base64") }]),
      ),
    })(...exchange);
  let ended: Promise<Result> | undefined;
  return {
    username,
    answers,
    overlay,
    files,
    get ended() {
      if (ended === undefined) throw new Error("nobody has logged in");
      return ended;
    },
    logIn: (daemon, command = "echo in") => {
      ended = (async () => {
        await using client = await SshClient.to(daemon.target({ username, password: "secret" }));
        return await client.run(command);
      })();
    },
    [Symbol.asyncDispose]: async () => {
      await ended;
    },
  };
};

/** What the inspector's overview says of the user's connection comes to this. */
export const seesRow = async (
  { username }: LoginWorld,
  daemon: ObservedDaemon,
  row: Partial<Row>,
): Promise<void> => {
  const inspector = await daemon.inspector();
  const rowOf = async () => (await inspector.connections()).findLast((each) => each.username === username);
  await expect.poll(rowOf).toMatchObject(row);
};

/** The login was granted, whatever came of it. */
export const seesGranted = async (world: LoginWorld, daemon: ObservedDaemon): Promise<void> => {
  const { username } = world;
  const { backend } = (await daemon.log.any("SSH_HANDSHAKE_SUCCESSFUL", { username })).details;
  await seesRow(world, daemon, { loggedIn: true, backend: String(backend) });
};

/** The command ran. */
export const seesProgram = async ({ ended }: LoginWorld): Promise<void> => {
  expect(await ended).toMatchObject({ code: 0, stdout: "in\n" });
};

/** A refusal by its code, and a part of the sentence for the user. */
export type RefusalWords = readonly [code: string, sentence: string];

/** Nothing ran; the user reads the sentence of one of these refusals, and log and inspector have its code. */
export const seesRefusal =
  (...refusals: readonly RefusalWords[]) =>
  async (world: LoginWorld, daemon: ObservedDaemon): Promise<void> => {
    const { code, stdout, stderr } = await world.ended;
    expect({ code, stdout }).toEqual({ code: 255, stdout: "" });
    await seesTold(world, daemon, stderr, refusals);
  };

/** What the user has read is the sentence of one of these refusals, and log and inspector have its code. */
export const seesTold = async (
  world: LoginWorld,
  daemon: ObservedDaemon,
  read: string,
  refusals: readonly RefusalWords[],
): Promise<void> => {
  const [code] = refusals.find(([, sentence]) => read.includes(sentence)) ?? [];
  if (code === undefined) throw new Error(`none of the refusals was read: ${read}`);
  await daemon.log.any(code, { username: world.username });
  await seesRow(world, daemon, { code });
};
