/**
 * One service of the daemon (the SSH listener, health, later metrics and the inspector): started, watched, restarted
 * with growing pauses when it fails, given up when it keeps failing.
 */
import { assign, type EventObject, sendParent, setup } from "xstate";
import { type Refusal, refusalOf } from "./facts.ts";
import { requiredSource } from "./required.ts";
import { UNTIMED } from "./untimed.ts";

export interface ServiceInput {
  readonly name: string;
}

export interface ServiceContext extends ServiceInput {
  /** Failures since it last ran for `stableTime`. */
  readonly crashes: number;
  readonly hasRun: boolean;
  readonly refusal: Refusal | undefined;
}

export type ServiceEvent =
  /** Where it can be reached, if anywhere: `127.0.0.1:2222`. */
  | { readonly type: "service.ready"; readonly address: string }
  | { readonly type: "service.crashed"; readonly error: unknown };

/** What the daemon hears of its services. */
export type ServiceReport =
  | { readonly type: "service.running"; readonly name: string; readonly address: string }
  | { readonly type: "service.restarting"; readonly name: string; readonly refusal: Refusal }
  | { readonly type: "service.gaveUp"; readonly name: string; readonly refusal: Refusal };

/** Failures in a row after which a restart is no longer tried. */
const CRASH_LIMIT = 5;
const FIRST_PAUSE_MILLIS = 250;
const LONGEST_PAUSE_MILLIS = 10_000;
const STABLE_AFTER_MILLIS = 60_000;

const reasonOf = (context: ServiceContext): Refusal => context.refusal ?? refusalOf(undefined);

export const serviceMachine = setup({
  types: { input: {} as ServiceInput, context: {} as ServiceContext, events: {} as ServiceEvent },
  actors: { run: requiredSource<EventObject, ServiceInput>("run") },
  delays: {
    pause: ({ context }) => Math.min(FIRST_PAUSE_MILLIS * 2 ** (context.crashes - 1), LONGEST_PAUSE_MILLIS),
    stableTime: STABLE_AFTER_MILLIS,
  },
  actions: {
    keepReason: assign(({ context }, { error }: { error: unknown }) => ({
      refusal: refusalOf(error),
      crashes: context.crashes + 1,
    })),
  },
  guards: {
    /** One that never ran has a wrong configuration, and one that fails again and again won't mend itself. */
    isHopeless: ({ context }) => !context.hasRun || context.crashes + 1 >= CRASH_LIMIT,
  },
}).createMachine({
  id: "service",
  context: ({ input }) => ({ ...input, crashes: 0, hasRun: false, refusal: undefined }),
  initial: "up",
  states: {
    up: {
      tags: UNTIMED,
      initial: "starting",
      invoke: {
        src: "run",
        input: ({ context }) => context,
      },
      on: {
        "service.crashed": [
          {
            guard: "isHopeless",
            target: "gaveUp",
            actions: { type: "keepReason", params: ({ event }) => event },
          },
          { target: "pausing", actions: { type: "keepReason", params: ({ event }) => event } },
        ],
      },
      states: {
        starting: {
          on: {
            "service.ready": {
              target: "running",
              actions: [
                assign({ hasRun: true }),
                sendParent(
                  ({ context, event }): ServiceReport => ({
                    type: "service.running",
                    name: context.name,
                    address: event.address,
                  }),
                ),
              ],
            },
          },
        },
        running: { after: { stableTime: { target: "stable" } } },
        stable: { entry: assign({ crashes: 0 }) },
      },
    },
    pausing: {
      entry: sendParent(
        ({ context }): ServiceReport => ({
          type: "service.restarting",
          name: context.name,
          refusal: reasonOf(context),
        }),
      ),
      after: { pause: { target: "up" } },
    },
    gaveUp: {
      type: "final",
      entry: sendParent(
        ({ context }): ServiceReport => ({
          type: "service.gaveUp",
          name: context.name,
          refusal: reasonOf(context),
        }),
      ),
    },
  },
});
