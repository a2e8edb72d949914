import { describe, expect, it } from "vitest";
import { createActor, fromCallback, fromPromise, toPromise } from "xstate";
import {
  authorizationCodeMachine,
  type CodeAnswer,
  type CodeProblem,
} from "../../../machines/authorization-code.ts";
import type { FlowOutcome, ProviderName } from "../../../machines/oauth2.ts";
import { grantOf, login, providerWith, refusalWith, request, response } from "./browser-login.ts";

const flow = (
  answers: readonly CodeAnswer[],
  options: {
    readonly name?: ProviderName;
    readonly prepare?: () => Promise<typeof request>;
    readonly exchange?: () => Promise<ReturnType<typeof grantOf>>;
  } = {},
) => {
  const left = [...answers];
  const problems: (CodeProblem | undefined)[] = [];
  const expected: string[] = [];
  const machine = authorizationCodeMachine.provide({
    actors: {
      prepareRequest: fromPromise(options.prepare ?? (async () => request)),
      awaitReturn: fromCallback(() => {
        expected.push("expected");
        return () => expected.push("no longer expected");
      }),
      askForCode: fromPromise(({ input }) => {
        problems.push(input.problem);
        const answer = left.shift();
        return answer === undefined ? new Promise(() => {}) : Promise.resolve(answer);
      }),
      exchangeCode: fromPromise(options.exchange ?? (async () => grantOf())),
    },
  });
  const provider = providerWith({ name: options.name ?? "oidc" });
  const actor = createActor(machine, { input: { login, provider } });
  actor.start();
  return { actor, problems, expected, outcome: () => toPromise(actor) as Promise<FlowOutcome> };
};

describe("the authorization code flow", () => {
  it("exchanges the code that matches, and then expects no browser any more", async () => {
    const { outcome, problems, expected } = flow([{ kind: "matched", response }]);
    expect(await outcome()).toMatchObject({ kind: "granted" });
    expect(problems).toEqual([undefined]);
    expect(expected).toEqual(["expected", "no longer expected"]);
  });

  it("lets a wrong code be corrected", async () => {
    const { outcome, problems } = flow([
      { kind: "notReturned" },
      { kind: "unreadable" },
      { kind: "matched", response },
    ]);
    expect(await outcome()).toMatchObject({ kind: "granted" });
    expect(problems).toEqual([undefined, "notReturned", "unreadable"]);
  });

  it.each<[CodeProblem, ProviderName, string]>([
    ["mismatch", "oidc", "AUTH_OAUTH_STATE_MISMATCH"],
    ["mismatch", "generic", "AUTH_OAUTH_STATE_MISMATCH"],
    ["mismatch", "github", "GITHUB_STATE_DOES_NOT_MATCH"],
    ["unreadable", "oidc", "AUTH_FAILED"],
    ["notReturned", "oidc", "AUTH_FAILED"],
  ])("refuses the third code that is %s (%s)", async (kind, name, code) => {
    const { outcome, problems, expected } = flow([{ kind }, { kind }, { kind }], { name });
    expect(await outcome()).toMatchObject({ kind: "refused", refusal: { code } });
    expect(problems).toHaveLength(3);
    expect(expected).toEqual(["expected", "no longer expected"]);
  });

  it("does not ask again whoever declined", async () => {
    const { outcome, problems } = flow([{ kind: "declined", error: "access_denied" }]);
    expect(await outcome()).toMatchObject({
      kind: "refused",
      refusal: { code: "AUTH_FAILED", details: { error: "access_denied" } },
    });
    expect(problems).toHaveLength(1);
  });

  it("refuses when no link can be made or the code gets no token", async () => {
    const unmade = flow([], { prepare: () => Promise.reject(refusalWith("LINK")) });
    expect(await unmade.outcome()).toMatchObject({ refusal: { code: "LINK" } });
    expect(unmade.expected).toEqual([]);
    const refused = flow([{ kind: "matched", response }], {
      exchange: () => Promise.reject(refusalWith("REPLAYED")),
    });
    expect(await refused.outcome()).toMatchObject({ refusal: { code: "REPLAYED" } });
  });

  it("expects no browser any more when the client is gone", async () => {
    const { actor, expected } = flow([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(expected).toEqual(["expected"]);
    actor.stop();
    expect(expected).toEqual(["expected", "no longer expected"]);
  });
});
