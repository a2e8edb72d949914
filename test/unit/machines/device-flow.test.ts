import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { type DeviceCodeAnswer, deviceFlowMachine, type PollAnswer } from "../../../machines/device-flow.ts";
import type { FlowOutcome } from "../../../machines/oauth2.ts";
import { authorization, grantOf, login, providerWith, refusalWith } from "./browser-login.ts";

/** Lets promises that are settled be noticed. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const flow = (
  options: {
    readonly code?: () => Promise<DeviceCodeAnswer>;
    readonly show?: () => Promise<void>;
    readonly polls?: readonly (PollAnswer | Error)[];
  } = {},
) => {
  const clock = new SimulatedClock();
  const polls = [...(options.polls ?? [])];
  const asked: number[] = [];
  const aborted: number[] = [];
  const machine = deviceFlowMachine.provide({
    actors: {
      requestDeviceCode: fromPromise(options.code ?? (async () => ({ kind: "issued", authorization }))),
      showDeviceCode: fromPromise(options.show ?? (async () => {})),
      pollToken: fromPromise(({ signal }) => {
        asked.push(clock.now());
        signal.addEventListener("abort", () => aborted.push(clock.now()));
        const answer = polls.shift();
        if (answer === undefined) return new Promise(() => {});
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      }),
    },
  });
  const actor = createActor(machine, { input: { login, provider: providerWith() }, clock });
  actor.start();
  const pass = async (seconds: number) => {
    for (let second = 0; second < seconds; second++) {
      await settle();
      clock.increment(1_000);
    }
    await settle();
  };
  const outcome = (): FlowOutcome | undefined => actor.getSnapshot().output;
  return { actor, pass, asked, aborted, outcome };
};

const codeOf = (outcome: FlowOutcome | undefined): string | undefined =>
  outcome === undefined || outcome.kind === "granted" ? outcome?.kind : outcome.refusal.code;

describe("the device flow", () => {
  it("asks at the provider's pace until the user has approved", async () => {
    const grant = grantOf();
    const { pass, asked, outcome } = flow({
      polls: [{ kind: "pending" }, { kind: "pending" }, { kind: "granted", grant }],
    });
    await pass(16);
    expect(asked).toEqual([5_000, 10_000, 15_000]);
    expect(outcome()).toEqual({ kind: "granted", grant });
  });

  it("slows down by five seconds each time, for good, or more if the provider says so", async () => {
    const { pass, asked } = flow({
      polls: [
        { kind: "slowDown", intervalMillis: undefined },
        { kind: "pending" },
        { kind: "slowDown", intervalMillis: 30_000 },
        { kind: "pending" },
      ],
    });
    await pass(86);
    expect(asked).toEqual([5_000, 15_000, 25_000, 55_000, 85_000]);
  });

  it("asks half as often each time that the provider can't be reached, but not less than once a minute", async () => {
    const { pass, asked } = flow({ polls: Array.from({ length: 6 }, () => ({ kind: "unreachable" })) });
    await pass(260);
    expect(asked).toEqual([5_000, 15_000, 35_000, 75_000, 135_000, 195_000, 255_000]);
  });

  it("ends when the code has expired, also while the provider is silent", async () => {
    const { pass, aborted, outcome } = flow();
    await pass(599);
    expect(outcome()).toBeUndefined();
    await pass(2);
    expect(codeOf(outcome())).toBe("AUTH_OAUTH2_TIMEOUT");
    expect(aborted).toEqual([600_000]);
  });

  it("ends when the code expires while the user has not confirmed that they have seen it", async () => {
    const { pass, outcome } = flow({ show: () => new Promise(() => {}) });
    await pass(601);
    expect(codeOf(outcome())).toBe("AUTH_OAUTH2_TIMEOUT");
  });

  it.each<[PollAnswer, string]>([
    [{ kind: "denied" }, "AUTH_FAILED"],
    [{ kind: "expired" }, "AUTH_OAUTH2_TIMEOUT"],
  ])("ends when the provider says %j", async (answer, code) => {
    const { pass, outcome } = flow({ polls: [answer] });
    await pass(6);
    expect(outcome()?.kind).toBe("refused");
    expect(codeOf(outcome())).toBe(code);
  });

  it("leaves room for another flow when the provider gives no code, and none when it fails otherwise", async () => {
    const unavailable = flow({
      code: async () => ({ kind: "unavailable", refusal: refusalWith("LIMIT") }),
    });
    await unavailable.pass(1);
    expect(unavailable.outcome()).toMatchObject({ kind: "unavailable", refusal: { code: "LIMIT" } });
    const failed = flow({ code: () => Promise.reject(refusalWith("FAILED")) });
    await failed.pass(1);
    expect(failed.outcome()).toMatchObject({ kind: "refused", refusal: { code: "FAILED" } });
  });

  it("ends when the client doesn't want to be told, or the token is refused", async () => {
    const unseen = flow({ show: () => Promise.reject(refusalWith("GONE")) });
    await unseen.pass(1);
    expect(codeOf(unseen.outcome())).toBe("GONE");
    const refused = flow({ polls: [Object.assign(new Error("x"), refusalWith("TOKEN"))] });
    await refused.pass(6);
    expect(codeOf(refused.outcome())).toBe("TOKEN");
  });

  it("stops asking at once when the client is gone", async () => {
    const { actor, pass, asked, aborted } = flow({ polls: [{ kind: "pending" }] });
    await pass(10);
    expect(asked).toEqual([5_000, 10_000]);
    actor.stop();
    await pass(20);
    expect(aborted).toEqual([10_000]);
    expect(asked).toEqual([5_000, 10_000]);
  });
});
