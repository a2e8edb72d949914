/** Programs on servers that take their time, or whose users do not wait. */
import { Effect, Exit, Fiber, Scope } from "effect";
import { expect, it } from "vitest";
import type { ProgramRequest } from "../../../../src/backend/backend.ts";
import { startProgram } from "../../../../src/backend/sshproxy/program.ts";
import { Message, Reader } from "../../../../src/ssh/wire.ts";
import { memoryLogger } from "../../../support/memory-logger.ts";
import { loggedIn, oddServer, PACKET, WINDOW } from "../../ssh/odd-server.ts";

const zero = { uint32: 0 };
const request: ProgramRequest = {
  program: { kind: "exec", command: "sleep 1000" },
  terminal: undefined,
  environment: { LANG: "C" },
  channel: 3,
};

const started = async () => {
  const server = await oddServer();
  const connection = await loggedIn(server);
  const scope = Scope.makeUnsafe();
  const host = {
    connection,
    environment: { LANG: "de_DE" },
    logger: memoryLogger().logger,
    notify: () => {},
  };
  const fiber = Effect.runFork(Scope.provide(startProgram(host, request), scope));
  await server.next(Message.CHANNEL_OPEN);
  const confirm = () => server.send(Message.CHANNEL_OPEN_CONFIRMATION, zero, zero, WINDOW, PACKET);
  const nextRequest = async (): Promise<string> =>
    new Reader(await server.next(Message.CHANNEL_REQUEST), 5).name();
  return { server, scope, fiber, confirm, nextRequest };
};

it("leaves no channel open on a server that opens it when nobody waits any more", async () => {
  const { server, scope, fiber, confirm, nextRequest } = await started();
  await Effect.runPromise(Fiber.interrupt(fiber));
  await Effect.runPromise(Scope.close(scope, Exit.void));
  confirm();
  expect(await nextRequest()).toBe("signal");
  await server.next(Message.CHANNEL_CLOSE);
});

it("sends everything at once, the login's variables over the client's, and hangs up what runs when it is left", async () => {
  const { server, scope, fiber, confirm, nextRequest } = await started();
  confirm();
  const variable = new Reader(await server.next(Message.CHANNEL_REQUEST), 5);
  expect([variable.name(), variable.boolean(), variable.name(), variable.name()]).toEqual([
    ...["env", true, "LANG", "de_DE"],
  ]);
  // The program is asked for although nothing has been answered yet.
  expect(await nextRequest()).toBe("exec");
  server.send(Message.CHANNEL_FAILURE, zero);
  server.send(Message.CHANNEL_SUCCESS, zero);
  await Effect.runPromise(Fiber.join(fiber));
  await Effect.runPromise(Scope.close(scope, Exit.void));
  expect(await nextRequest()).toBe("signal");
  await server.next(Message.CHANNEL_CLOSE);
});
