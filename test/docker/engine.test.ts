/** How an Engine is reached: over TLS with certificates of both sides, and in the newest API that both sides speak. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Authority, certificateAuthority, type Pair } from "../support/certificates.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { startTlsEngine, type TlsEngine } from "../support/docker-tls.ts";
import { engineFront } from "../support/engine-front.ts";
import { runProgram, terminal } from "../support/programs.ts";
import type { Connection } from "../support/provisioning.ts";
import { type Directory, directory } from "../support/resources.ts";

describe("an Engine that is spoken to over TLS", () => {
  let home: Directory;
  let authority: Authority;
  let strangers: Authority;
  let client: Pair;
  let engine: TlsEngine;
  let address: string;

  const connect = async (host: string, cacert: string, { cert, key }: Pair): Promise<Connection> =>
    (await testDaemon(host)).connect({ connection: { cacert, cert, key } });

  beforeAll(async () => {
    home = await directory();
    authority = await certificateAuthority(home.path, "authority");
    strangers = await certificateAuthority(home.path, "strangers");
    client = await authority.issue("berth");
    engine = await startTlsEngine(home.path, authority, await authority.issue("engine"));
    address = engine.address;
    await engine.image("busybox:1");
  });
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]();
    await home?.[Symbol.asyncDispose]();
  });

  it.each(["", "tcp://", "https://"])(
    "runs programs, with an address that begins with %o",
    async (scheme) => {
      const { environment, log } = await connect(`${scheme}${address}`, authority.cert, client);
      expect(
        await runProgram(environment, "wc -c; echo after the end of the input; exit 3", "12345"),
      ).toEqual({
        stdout: "5\nafter the end of the input\n",
        stderr: "",
        exit: 3,
      });
      const input = "x".repeat(3_000_000);
      expect((await runProgram(environment, "cat", input)).stdout).toBe(input);
      expect(log.text()).not.toContain(client.key.split("\n")[1]);
    },
  );

  it("takes certificates from files", async () => {
    const files = { cacert: authority.cert, ...client };
    const paths: Record<string, string> = {};
    for (const [name, text] of Object.entries(files)) {
      paths[name] = join(home.path, `client-${name}`);
      await writeFile(paths[name], text);
    }
    const { environment } = await (await testDaemon(address)).connect({ connection: paths });
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
  });

  it("refuses a client of another authority", async () => {
    const { refusal } = await connect(address, authority.cert, await strangers.issue("berth"));
    expect(refusal.code).toBe("DOCKER_ENGINE_UNREACHABLE");
    expect(refusal.message).toMatch(/certificate/i);
    expect(refusal.userMessage).toContain("does not answer");
  });

  it("is refused when its own certificate is another authority's", async () => {
    const { refusal } = await connect(address, strangers.cert, client);
    expect(refusal.code).toBe("DOCKER_ENGINE_UNREACHABLE");
    expect(refusal.message).toMatch(/certificate/i);
  });

  it("is refused when its certificate is for another name", async () => {
    const certificate = await authority.issue("elsewhere", []);
    await using elsewhere = await startTlsEngine(home.path, authority, certificate);
    const { refusal } = await connect(elsewhere.address, authority.cert, client);
    expect(refusal.code).toBe("DOCKER_ENGINE_UNREACHABLE");
    expect(refusal.message).toMatch(/altname|certificate/i);
  });

  it("refuses a client without TLS", async () => {
    const { refusal } = await (await testDaemon(address)).connect();
    expect(refusal.code).toBe("DOCKER_ENGINE_UNREACHABLE");
  });
});

describe("an Engine of API 1.42 and later", () => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine();
    await engine.image("busybox:1");
  });
  afterAll(() => engine?.[Symbol.asyncDispose]());

  /** A real Engine that claims to speak a newer API than it does: Debian has no newer one yet. */
  const newer = (ApiVersion: string) =>
    engineFront(engine, ({ path }) =>
      path === "/version"
        ? { status: 200, body: { Version: "99.0", ApiVersion, MinAPIVersion: "1.24" } }
        : undefined,
    );

  it.each([
    ["1.42", "/v1.42/"],
    ["1.99", "/v1.51/"],
  ])("that speaks %s is spoken to by %s", async (claimed, path) => {
    await using front = await newer(claimed);
    const { environment } = await (await testDaemon(front.host)).connect();
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    const others = front.requests.filter((request) => request.path !== "/version");
    expect(others.length).toBeGreaterThan(3);
    for (const request of others) expect(request.path.startsWith(path)).toBe(true);
  });

  it("gets the size of a terminal with the start of a program by exec", async () => {
    await using front = await newer("1.42");
    const { environment } = await (await testDaemon(front.host)).connect();
    expect(await runProgram(environment, "echo in", "", { terminal: terminal(123, 45) })).toMatchObject({
      stdout: "in\r\n",
      exit: 0,
    });
    const starts = front.requests.filter(({ path }) => /\/exec\/\w+\/start$/.test(path));
    expect(starts.map(({ body }) => body)).toEqual([{ Detach: false, Tty: true, ConsoleSize: [45, 123] }]);
    expect(front.requests.filter(({ path }) => path.includes("/resize"))).toEqual([]);
  });

  it("gets the size of a terminal with the container of a session", async () => {
    await using front = await newer("1.42");
    const { environment } = await (await testDaemon(front.host)).connect({ execution: { mode: "session" } });
    expect(await runProgram(environment, "echo in", "", { terminal: terminal(123, 45) })).toMatchObject({
      stdout: "in\r\n",
      exit: 0,
    });
    const created = front.requests.filter(({ path, body }) => path.includes("/create") && body?.Tty === true);
    expect(created.map(({ body }) => body?.HostConfig)).toMatchObject([{ ConsoleSize: [45, 123] }]);
    expect(front.requests.filter(({ path }) => path.includes("/resize"))).toEqual([]);
  });
});
