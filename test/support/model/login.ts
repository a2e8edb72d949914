/** One login by the real `ssh`, as a world for walks: the webhooks' answers about its user, and what came of it. */
import { expect } from "vitest";
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

/** The login was granted, whatever came of it. */
export const seesGranted = async ({ username }: LoginWorld, { log }: ObservedDaemon): Promise<void> => {
  await log.any("SSH_HANDSHAKE_SUCCESSFUL", { username });
};

/** The command ran. */
export const seesProgram = async ({ ended }: LoginWorld): Promise<void> => {
  expect(await ended).toMatchObject({ code: 0, stdout: "in\n" });
};

/** Nothing ran; the user reads the sentence of one of these refusals, and the log has its code. */
export const seesRefusal =
  (...refusals: readonly (readonly [code: string, sentence: string])[]) =>
  async ({ ended, username }: LoginWorld, { log }: ObservedDaemon): Promise<void> => {
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 255, stdout: "" });
    const [found] = refusals.find(([, sentence]) => stderr.includes(sentence)) ?? [];
    if (found === undefined) throw new Error(`none of the refusals was read: ${stderr}`);
    await log.any(found, { username });
  };
