import { Redacted } from "effect";
import { describe, expect, test } from "vitest";
import type { Credential } from "../../../machines/facts.ts";
import type { Link } from "../../../src/ssh/link.ts";
import { fingerprintOf } from "../../../src/ssh/public-key.ts";
import { Message, message, Reader } from "../../../src/ssh/wire.ts";
import { ed25519Key, PASSWORD, rsaKey, signedRequest, WireClient } from "../../support/wire-client.ts";
import { METHODS, type Script, serve } from "./scripted.ts";

const CONNECTION = "ssh-connection";

/** Answers nothing; a test answers itself. */
const silent: Partial<Script> = { authenticate: () => {} };

const failureOf = (payload: Buffer) => {
  const reader = new Reader(payload);
  return { methods: reader.name(), partial: reader.boolean() };
};

const begin = async (script: Partial<Script> = {}, config = {}) => {
  const server = await serve({ script, config });
  const client = await WireClient.connect(server);
  await client.beginAuthentication();
  return { server, client, connection: await server.connection() };
};

describe("requests", () => {
  test("the handshake is told with the client's version and the algorithms", async () => {
    const { connection } = await begin();
    expect(await connection.event("handshake.completed")).toEqual({
      type: "handshake.completed",
      clientVersion: "SSH-2.0-test_client",
      algorithms: expect.stringMatching(/^\S+ ssh-ed25519 \S+$/),
    });
  });

  test("a failure names the methods that can continue", async () => {
    const { client } = await begin();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "none");
    expect(failureOf(await client.next(Message.USERAUTH_FAILURE))).toEqual({
      methods: "publickey,password",
      partial: false,
    });
  });

  test.each(["gssapi-with-mic", "hostbased", "nonsense@example.com", ""])(
    "the unknown method %j is offered without a credential and gets a failure",
    async (method) => {
      const { client, connection } = await begin();
      client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, method, { uint32: 1 }, "whatever");
      await client.next(Message.USERAUTH_FAILURE);
      expect(await connection.event("authentication.requested")).toMatchObject({
        method,
        credential: undefined,
      });
      client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password", false, PASSWORD);
      await client.next(Message.USERAUTH_SUCCESS);
    },
  );

  test.each([
    ["empty", ""],
    ["of 30,000 bytes", "a".repeat(30_000)],
    ["with NUL", "ja\0ne"],
    ["with a newline", "jane\nroot"],
    ["not UTF-8", Buffer.of(0xff, 0xfe)],
    ["of 257 bytes", `${"é".repeat(128)}a`],
  ])("a user name that is %s is a failure, and no credential is offered", async (_, username) => {
    const { client, connection } = await begin();
    client.send(Message.USERAUTH_REQUEST, username, CONNECTION, "password", false, PASSWORD);
    await client.next(Message.USERAUTH_FAILURE);
    expect(await connection.event("authentication.requested")).toMatchObject({
      username: "",
      credential: undefined,
      problem: expect.stringContaining("user name"),
    });
  });

  test("user names may have 256 bytes of any script", async () => {
    const { client, connection } = await begin();
    const username = "é".repeat(128);
    client.send(Message.USERAUTH_REQUEST, username, CONNECTION, "password", false, PASSWORD);
    await client.next(Message.USERAUTH_SUCCESS);
    expect(await connection.event("authentication.requested")).toMatchObject({ username });
  });

  test("the user name may change between requests", async () => {
    const { client, connection } = await begin();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password", false, "wrong");
    await client.next(Message.USERAUTH_FAILURE);
    client.send(Message.USERAUTH_REQUEST, "joe", CONNECTION, "password", false, PASSWORD);
    await client.next(Message.USERAUTH_SUCCESS);
    const requests = connection.events.filter(({ type }) => type === "authentication.requested");
    expect(requests).toMatchObject([{ username: "jane" }, { username: "joe" }]);
  });

  test("requests are announced one at a time, in their order", async () => {
    const { client, connection } = await begin(silent);
    for (const username of ["a", "b", "c"])
      client.send(Message.USERAUTH_REQUEST, username, CONNECTION, "none");
    await connection.event("authentication.requested");
    client.send(Message.IGNORE, "");
    const names = () =>
      connection.events.flatMap((event) =>
        event.type === "authentication.requested" ? [event.username] : [],
      );
    expect(names()).toEqual(["a"]);
    for (const expected of [
      ["a", "b"],
      ["a", "b", "c"],
    ]) {
      connection.link.answerFailure([]);
      await client.next(Message.USERAUTH_FAILURE);
      await expect.poll(names).toEqual(expected);
    }
  });

  test("more than ten waiting requests end the connection", async () => {
    const { client, connection } = await begin(silent);
    for (let count = 0; count < 12; count++) client.send(Message.USERAUTH_REQUEST, "a", CONNECTION, "none");
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
    expect((await client.disconnection()).reason).toBe(2);
  });

  test("another service ends the connection", async () => {
    const { client, connection } = await begin();
    client.send(Message.USERAUTH_REQUEST, "jane", "ssh-other", "none");
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
    await client.closed();
  });

  test("a truncated request ends the connection", async () => {
    const { client, connection } = await begin();
    client.sendRaw(message(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password").subarray(0, -3));
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
  });

  test("requests after success are ignored", async () => {
    const { client, connection } = await begin();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password", false, PASSWORD);
    await client.next(Message.USERAUTH_SUCCESS);
    client.send(Message.USERAUTH_REQUEST, "root", CONNECTION, "none");
    await client.openSession();
    expect(connection.events.filter(({ type }) => type === "authentication.requested")).toHaveLength(1);
  });

  test("answers that nobody waits for are not sent", async () => {
    const { client, connection } = await begin(silent);
    connection.link.answerFailure(METHODS);
    connection.link.answerKeyAcceptable();
    connection.link.answerSuccess();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "none");
    await connection.event("authentication.requested");
    connection.link.answerKeyAcceptable();
    connection.link.answerFailure(METHODS);
    await client.next(Message.USERAUTH_FAILURE);
    const answers = client.received.map(([type]) => type).filter((type) => type !== undefined && type >= 50);
    expect(answers).toEqual([Message.USERAUTH_FAILURE]);
  });
});

describe("passwords", () => {
  test.each([
    ["is not UTF-8", [false, Buffer.of(0xff)], "the password is not UTF-8"],
    ["is to be changed", [true, "old", "new"], "passwords cannot be changed here"],
  ] as const)("a password that %s is no credential", async (_, fields, problem) => {
    const { client, connection } = await begin();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "password", ...fields);
    await client.next(Message.USERAUTH_FAILURE);
    expect(await connection.event("authentication.requested")).toMatchObject({
      method: "password",
      credential: undefined,
      problem,
    });
  });
});

describe("public keys", () => {
  const credentialOf = async (request: (client: WireClient) => Buffer): Promise<Credential | undefined> => {
    const { client, connection } = await begin(silent);
    client.sendRaw(request(client));
    return (await connection.event("authentication.requested")).credential;
  };
  const verified = (credential: Credential | undefined) =>
    credential?.method === "publickey" ? credential.verify() : undefined;

  test("a probe has no signature, and its answer repeats algorithm and key", async () => {
    const key = ed25519Key();
    const { client, connection } = await begin(silent);
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "publickey", false, key.type, key.blob);
    const { credential } = await connection.event("authentication.requested");
    expect(credential).toMatchObject({
      algorithm: "ssh-ed25519",
      signed: false,
      fingerprint: fingerprintOf(key.blob),
      key: `ssh-ed25519 ${key.blob.toString("base64")}`,
    });
    expect(verified(credential)).toBe(false);
    connection.link.answerKeyAcceptable();
    const answer = new Reader(await client.next(Message.USERAUTH_PK_OK));
    expect(answer.name()).toBe("ssh-ed25519");
    expect(answer.string().equals(key.blob)).toBe(true);
  });

  test("a signature over this session and this request is good", async () => {
    const key = ed25519Key();
    expect(verified(await credentialOf(({ sessionId }) => signedRequest(sessionId, "jane", key)))).toBe(true);
  });

  test.each(["rsa-sha2-256", "rsa-sha2-512"])("RSA keys sign by %s", async (algorithm) => {
    const key = rsaKey();
    const hash = algorithm.endsWith("256") ? "sha256" : "sha512";
    const credential = await credentialOf(({ sessionId }) =>
      signedRequest(sessionId, "jane", key, algorithm, hash),
    );
    expect(credential).toMatchObject({ algorithm, key: expect.stringMatching(/^ssh-rsa AAAA/) });
    expect(verified(credential)).toBe(true);
  });

  test("a signature with SHA-1 is no credential, and it is said why", async () => {
    const { client, connection } = await begin();
    client.sendRaw(signedRequest(client.sessionId, "jane", rsaKey(), "ssh-rsa", "sha1"));
    await client.next(Message.USERAUTH_FAILURE);
    expect(await connection.event("authentication.requested")).toMatchObject({
      credential: undefined,
      problem: "keys or signatures of the kind ssh-rsa are not supported",
    });
  });

  test("a signature of another session, user or key is not", async () => {
    const [key, other] = [ed25519Key(), ed25519Key()];
    const elsewhere = await credentialOf(() => signedRequest(Buffer.alloc(32), "jane", key));
    expect(verified(elsewhere)).toBe(false);
    const renamed = await credentialOf(({ sessionId }) => {
      const request = signedRequest(sessionId, "jane", key);
      request.write("joan", 5);
      return request;
    });
    expect(verified(renamed)).toBe(false);
    const forged = await credentialOf(({ sessionId }) =>
      signedRequest(sessionId, "jane", { ...key, privateKey: other.privateKey }),
    );
    expect(verified(forged)).toBe(false);
  });

  test("SHA-1 signatures, short RSA keys and algorithms of other keys are no credentials", async () => {
    const [rsa, short, ed25519] = [rsaKey(), rsaKey(768), ed25519Key()];
    const requests = [
      ({ sessionId }: WireClient) => signedRequest(sessionId, "jane", rsa, "ssh-rsa", "sha1"),
      ({ sessionId }: WireClient) => signedRequest(sessionId, "jane", short, "rsa-sha2-256", "sha256"),
      ({ sessionId }: WireClient) => signedRequest(sessionId, "jane", ed25519, "rsa-sha2-512"),
    ];
    for (const request of requests) expect(await credentialOf(request)).toBeUndefined();
  });

  test("a signature that names another algorithm than the request is not good", async () => {
    const key = rsaKey();
    const credential = await credentialOf(({ sessionId }) => {
      const request = signedRequest(sessionId, "jane", key, "rsa-sha2-256", "sha256");
      request.write("rsa-sha2-512", request.lastIndexOf("rsa-sha2-256"));
      return request;
    });
    expect(verified(credential)).toBe(false);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["garbage", Buffer.from("garbage")],
    ["a key with something behind it", Buffer.concat([ed25519Key().blob, Buffer.of(1)])],
  ])("%s is no key", async (_, blob) => {
    const request = message(
      Message.USERAUTH_REQUEST,
      ...["jane", CONNECTION, "publickey", false, "ssh-ed25519", blob],
    );
    expect(await credentialOf(() => request)).toBeUndefined();
  });
});

describe("questions", () => {
  const asking = async () => {
    const { client, connection } = await begin(silent);
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "keyboard-interactive", "", "");
    const { credential } = await connection.event("authentication.requested");
    if (credential?.method !== "keyboard-interactive") throw new Error("no way to ask");
    const answers = credential.ask({
      title: "Hello",
      instruction: "Please answer",
      prompts: [
        { text: "Name: ", echo: true },
        { text: "Code: ", echo: false },
      ],
    });
    const request = new Reader(await client.next(Message.USERAUTH_INFO_REQUEST));
    return { client, connection, answers, request, credential };
  };

  test("a user is asked and answers", async () => {
    const { client, answers, request } = await asking();
    const [title, instruction, language] = [request.text(), request.text(), request.text()];
    expect({ title, instruction, language }).toEqual({
      title: "Hello",
      instruction: "Please answer",
      language: "",
    });
    expect(request.uint32()).toBe(2);
    expect([request.text(), request.boolean(), request.text(), request.boolean()]).toEqual([
      "Name: ",
      true,
      "Code: ",
      false,
    ]);
    client.send(Message.USERAUTH_INFO_RESPONSE, { uint32: 2 }, "Jane", "7ü");
    expect((await answers).map(Redacted.value)).toEqual(["Jane", "7ü"]);
  });

  test("the wrong number of answers, or answers that are not UTF-8, are none", async () => {
    for (const fields of [
      [{ uint32: 1 }, "a"],
      [{ uint32: 2 }, "a", Buffer.of(0xff)],
    ] as const) {
      const { client, answers } = await asking();
      client.send(Message.USERAUTH_INFO_RESPONSE, ...fields);
      await expect(answers).rejects.toMatchObject({ code: "SSH_AUTH_FAILED" });
    }
  });

  test("another request ends the questions, and only that one is answered", async () => {
    const { client, connection, answers } = await asking();
    client.send(Message.USERAUTH_REQUEST, "jane", CONNECTION, "none");
    await expect(answers).rejects.toMatchObject({ code: "SSH_AUTH_FAILED" });
    connection.link.answerFailure(["publickey"]);
    await expect
      .poll(() => connection.events.filter(({ type }) => type === "authentication.requested"))
      .toHaveLength(2);
    connection.link.answerFailure(["password"]);
    expect(failureOf(await client.next(Message.USERAUTH_FAILURE)).methods).toBe("password");
  });

  test("questions of an attempt that is over are not asked", async () => {
    const { client, connection, answers, credential } = await asking();
    client.send(Message.USERAUTH_INFO_RESPONSE, { uint32: 2 }, "a", "b");
    await answers;
    connection.link.answerFailure([]);
    const late = credential.ask({ title: "", instruction: "", prompts: [] });
    await expect(late).rejects.toMatchObject({ code: "SSH_AUTH_FAILED" });
  });

  test("a client that is gone ends the questions", async () => {
    const { client, answers } = await asking();
    client.socket.destroy();
    await expect(answers).rejects.toMatchObject({ code: "SSH_AUTH_FAILED" });
  });
});

describe("banners", () => {
  const bannerOf = async (client: WireClient) =>
    new Reader(await client.next(Message.USERAUTH_BANNER)).text();

  test("the configured one is shown when authentication begins", async () => {
    const { client } = await begin({}, { banner: "Welcome\nto the machine\n" });
    expect(await bannerOf(client)).toBe("Welcome\r\nto the machine\r\n");
  });

  test("others may be shown until success, and not after", async () => {
    const told = (text: string) => (_: unknown, link: Link) => link.showBanner(text);
    const server = await serve({
      script: {
        authenticate: (event, link) => {
          told("not yet")(event, link);
          link.answerSuccess();
          told("too late")(event, link);
        },
      },
    });
    const client = await WireClient.login(server);
    await client.openSession();
    const banners = client.received.filter(([type]) => type === Message.USERAUTH_BANNER);
    expect(banners.map((payload) => new Reader(payload).text())).toEqual(["not yet\r\n"]);
  });
});
