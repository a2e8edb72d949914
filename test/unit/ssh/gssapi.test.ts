import { Redacted } from "effect";
import { describe, expect, test } from "vitest";
import type { GssapiMessage } from "../../../src/ssh/credentials.ts";
import { Message, message, Reader, string } from "../../../src/ssh/wire.ts";
import { PASSWORD, WireClient } from "../../support/wire-client.ts";
import { serve } from "./scripted.ts";

const CONNECTION = "ssh-connection";
const KERBEROS = Buffer.from("06092a864886f712010202", "hex");

/** A client that has asked for gssapi-with-mic, and the credential that came of it. */
const begin = async () => {
  const server = await serve({ script: { authenticate: () => {} } });
  const client = await WireClient.connect(server);
  await client.beginAuthentication();
  client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "gssapi-with-mic", { uint32: 1 }, KERBEROS);
  const connection = await server.connection();
  const { credential } = await connection.event("authentication.requested");
  if (credential?.method !== "gssapi-with-mic") throw new Error("no credential");
  return { client, connection, credential };
};

const wordsOf = ({ kind, bytes }: GssapiMessage) => [kind, Buffer.from(Redacted.value(bytes)).toString()];
const tokenOf = (text: string) => Redacted.make(Buffer.from(text));

describe("gssapi-with-mic", () => {
  test("tokens go back and forth after the mechanism was chosen, and a signature ends it", async () => {
    const { client, credential } = await begin();
    const first = credential.exchange(undefined);
    const response = await client.next(Message.USERAUTH_GSSAPI_RESPONSE);
    expect(new Reader(response).string()).toEqual(KERBEROS);
    client.send(Message.USERAUTH_GSSAPI_TOKEN, "one");
    expect(wordsOf(await first)).toEqual(["token", "one"]);
    const second = credential.exchange(tokenOf("two"));
    const token = await client.next(Message.USERAUTH_GSSAPI_TOKEN, Message.USERAUTH_GSSAPI_RESPONSE);
    expect(token).toEqual(message(Message.USERAUTH_GSSAPI_TOKEN, "two"));
    client.send(Message.USERAUTH_GSSAPI_MIC, "signature");
    expect(wordsOf(await second)).toEqual(["mic", "signature"]);
  });

  test.each([
    [Message.USERAUTH_GSSAPI_ERRTOK, ["sorry"], ["errorToken", "sorry"]],
    [Message.USERAUTH_GSSAPI_EXCHANGE_COMPLETE, [], ["exchangeComplete", ""]],
  ])("message %i is told apart", async (number, fields, words) => {
    const { client, credential } = await begin();
    client.send(number, ...fields);
    expect(wordsOf(await credential.exchange(undefined))).toEqual(words);
  });

  test("an error is shown with its codes, and with a token if there is one", async () => {
    const { client, connection, credential } = await begin();
    credential.showError({ major: 851968, minor: 4294967295, text: "No.", token: Buffer.from("error") });
    const error = new Reader(await client.next(Message.USERAUTH_GSSAPI_ERROR));
    expect([error.uint32(), error.uint32(), error.text(), error.text()]).toEqual([
      851968,
      4294967295,
      "No.",
      "",
    ]);
    expect(await client.next(Message.USERAUTH_GSSAPI_ERRTOK)).toEqual(message(65, "error"));
    connection.link.answerFailure(["gssapi-with-mic", "password"]);
    const failure = new Reader(await client.next(Message.USERAUTH_FAILURE));
    expect([failure.name(), failure.boolean()]).toEqual(["gssapi-with-mic,password", false]);
  });

  test("what has to be signed is the session and the request, without its mechanisms", async () => {
    const { client, credential } = await begin();
    const request = message(Message.USERAUTH_REQUEST, "jane", CONNECTION, "gssapi-with-mic");
    expect(credential.signedData()).toEqual(Buffer.concat([string(client.sessionId), request]));
  });

  test("another request ends it without an answer, and comes next", async () => {
    const { client, connection, credential } = await begin();
    const pending = credential.exchange(undefined);
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password", false, PASSWORD);
    await expect(pending).rejects.toThrow("The client began another attempt");
    await connection.event("authentication.abandoned");
    await expect(credential.exchange(undefined)).rejects.toThrow("The client began another attempt");
    connection.link.answerFailure(["password"]);
    await expect
      .poll(() => connection.events.filter(({ type }) => type === "authentication.requested"))
      .toMatchObject([{ method: "gssapi-with-mic" }, { method: "password" }]);
    expect(client.received.filter(([type]) => type === Message.USERAUTH_FAILURE)).toEqual([]);
  });

  test("the end of the connection ends it", async () => {
    const { client, credential } = await begin();
    const pending = credential.exchange(undefined);
    client.socket.destroy();
    await expect(pending).rejects.toThrow("The client is gone");
  });

  test("more than two messages that nobody waits for end the connection", async () => {
    const { client, connection } = await begin();
    for (const text of ["a", "b", "c"]) client.send(Message.USERAUTH_GSSAPI_TOKEN, text);
    expect((await connection.event("peer.failed")).refusal).toMatchObject({
      code: "SSH_DECODE_FAILED",
      details: { error: "too many messages of gssapi-with-mic at once" },
    });
  });

  test("its messages mean nothing when it is over", async () => {
    const { client, connection } = await begin();
    connection.link.answerFailure(["password"]);
    await client.next(Message.USERAUTH_FAILURE);
    for (const type of [61, 63, 65, 66]) client.send(type, "late");
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "none");
    await expect
      .poll(() => connection.events.map(({ type }) => type))
      .toEqual(["handshake.completed", "authentication.requested", "authentication.requested"]);
  });

  test("a server's error is none of the client's messages", async () => {
    const { client } = await begin();
    client.send(Message.USERAUTH_GSSAPI_ERROR, { uint32: 1 }, { uint32: 2 }, "No.", "");
    await client.next(Message.UNIMPLEMENTED);
  });

  test.each([
    ["more mechanisms than it has", [{ uint32: 3 }, KERBEROS]],
    ["no count", []],
  ])("a request with %s ends the connection", async (_, fields) => {
    const server = await serve();
    const client = await WireClient.connect(server);
    await client.beginAuthentication();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "gssapi-with-mic", ...fields);
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal.code).toBe("SSH_DECODE_FAILED");
  });
});
