/** What becomes of a password that was given to the Kerberos library. */
import { Effect, Exit, Redacted, Scope } from "effect";
import { expect, it } from "vitest";
import { createActor, toPromise } from "xstate";
import { kerberosLoginWith } from "../../../../src/auth/kerberos/actors.ts";
import { CallRefused, type KerberosLibrary } from "../../../../src/auth/kerberos/library.ts";
import { defaults } from "../../../../src/config/schema.ts";
import { memoryLogger } from "../../../support/memory-logger.ts";

it("a password is wiped as soon as the KDC has judged it", async () => {
  const given: { readonly text: string; readonly bytes: Uint8Array }[] = [];
  const status = { kind: "status", major: 0, minor: -1765328353, text: "wrong", token: undefined } as const;
  const library: KerberosLibrary = {
    call: (_, input) => {
      if (!("password" in input)) throw new Error("the password was asked for first");
      given.push({ text: Buffer.from(input.password).toString(), bytes: input.password });
      return Effect.fail(new CallRefused({ status, isLost: false }));
    },
    newSession: () => 1,
    forget: () => undefined,
  };
  const scope = Scope.makeUnsafe();
  const { logger } = memoryLogger();
  const source = { options: defaults.auth.password.kerberos, library };
  const machine = kerberosLoginWith({ password: source, gssapi: undefined }, () => ({
    remoteAddress: "192.0.2.1:1",
    clientVersion: "SSH-2.0-test",
    logger,
    scope,
  }));
  const credential = { method: "password", password: Redacted.make("secret") } as const;
  const actor = createActor(machine, { input: { connectionId: "1", username: "jane", credential } });
  actor.start();
  expect(await toPromise(actor)).toMatchObject({ kind: "refused", refusal: { code: "AUTH_FAILED" } });
  expect(given).toEqual([{ text: "secret", bytes: Buffer.alloc(6) }]);
  await Effect.runPromise(Scope.close(scope, Exit.void));
});
