/** Webhooks that fail, hang, flood and lie, in each of the three places of a login: nobody gets in by one. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Message, Reader } from "../../../src/ssh/wire.ts";
import { uselessAnswers } from "../../support/webhook-server.ts";
import { WireClient } from "../../support/wire-client.ts";
import {
  echo,
  expectMemoryBack,
  expectWell,
  type HostileDaemon,
  linesAbout,
  startHostileDaemon,
} from "./hostile-daemon.ts";

/** Who is answered in vain there. */
const userOf = (path: string, name: string): string => `${path} ${name}`;

const places = [
  ["the password webhook", "/password", "AUTH_BACKEND_ERROR", "Your login can't be checked at this time."],
  ["the authorization webhook", "/authz", "AUTH_BACKEND_ERROR", "Your login can't be checked at this time."],
  [
    "the configuration server",
    "/config",
    "CONFIG_BACKEND_ERROR",
    "Your environment can't be configured at this time.",
  ],
] as const;

let daemon: HostileDaemon;

beforeAll(async () => {
  daemon = await startHostileDaemon(
    places.flatMap(([, path]) =>
      uselessAnswers.map(([name, behaviour]) => [path, userOf(path, name), behaviour] as const),
    ),
    // The reference asks a configuration server again for a minute; a login has less.
    { ssh: { loginGraceTime: "15s" } },
    { authTimeout: "2s", timeout: "1s" },
  );
  await echo(daemon);
});
afterAll(() => daemon[Symbol.asyncDispose]());

describe.each(places)("answers of %s that are none", (_, path, code, sentence) => {
  const login = async (name: string): Promise<void> => {
    const username = userOf(path, name);
    const client = await WireClient.connect(daemon);
    const about = linesAbout(daemon, client.socket);
    await client.beginAuthentication();
    client.offerPassword(username);
    expect(
      await client.next(Message.USERAUTH_SUCCESS, Message.USERAUTH_FAILURE, Message.DISCONNECT),
    ).not.toEqual(Buffer.of(Message.USERAUTH_SUCCESS));
    client.socket.end();
    await client.closed();
    expect(client.received.map(textOf).join("")).toContain(sentence);
    const { details } = await daemon.log.next(
      code,
      (line) =>
        line.level === "error" && line.details.username === username && line.details.reason !== undefined,
    );
    expect(details.reason).toMatch(/^(HTTP_CLIENT|AUTH|CONFIG)_/);
    await about("SSH_DISCONNECTED");
  };

  it("let nobody in, each with its code and a sentence", () =>
    expectMemoryBack(daemon, async () => {
      await Promise.all(uselessAnswers.map(([name]) => login(name)));
      await expectWell(daemon);
    }));
});

/** What a message says to the person. */
const textOf = (payload: Buffer): string => {
  switch (payload[0]) {
    case Message.USERAUTH_BANNER:
      return new Reader(payload).string().toString();
    case Message.DISCONNECT:
      return new Reader(payload, 5).string().toString();
    default:
      return "";
  }
};
