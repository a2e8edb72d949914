import { expect, it } from "vitest";
import { createActor, fromPromise, toPromise } from "xstate";
import type { BackendName, Environment, ProvisioningOutcome, Refusal } from "../../../machines/facts.ts";
import { provisioningMachine } from "../../../machines/provisioning.ts";
import { defaults, settingsOf } from "../../../src/config/schema.ts";
import { identityOf } from "./values.ts";

const refusal: Refusal = { code: "TEST", level: "error", userMessage: "", message: "", details: {} };
const environment = { description: "a place" } as Environment;

const provision = (backend: string, outcome: ProvisioningOutcome): Promise<ProvisioningOutcome> => {
  const started: string[] = [];
  const answers = (name: BackendName) =>
    fromPromise(async () => {
      started.push(name);
      expect(started).toEqual([backend]);
      return outcome;
    });
  const machine = provisioningMachine.provide({
    // What is waited for is the same for each.
    actors: Object.fromEntries(
      (["docker", "kubernetes", "process", "sshproxy"] as const).map((name) => [name, answers(name)]),
    ) as never,
  });
  const settings = { ...settingsOf(defaults), backend: backend as BackendName };
  const input = { connectionId: "1", identity: identityOf("jane"), settings };
  return toPromise(createActor(machine, { input }).start());
};

it.each(["docker", "kubernetes", "process", "sshproxy"])("ends as the backend %s ends", async (backend) => {
  expect(await provision(backend, { kind: "ready", environment })).toEqual({ kind: "ready", environment });
  expect(await provision(backend, { kind: "refused", refusal })).toEqual({ kind: "refused", refusal });
});

it("refuses when there is no such backend", async () => {
  const outcome = await provision("elsewhere", { kind: "ready", environment });
  expect(outcome).toMatchObject({
    kind: "refused",
    refusal: { code: "BACKEND_CONFIG_ERROR", details: { backend: "elsewhere" } },
  });
});
