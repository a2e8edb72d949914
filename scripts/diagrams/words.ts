/** Names of machines in plain words: what an event, a guard or a delay is called in a diagram. */
import type { AnyActorLogic, AnyStateMachine, AnyTransitionDefinition } from "xstate";

/** `loginGrace` and `peer.disconnected` as people write them. */
export const plain = (name: string): string =>
  name
    .replaceAll(/[.\-_]/g, " ")
    .replaceAll(/([a-z0-9])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$1$2 ")
    .toLowerCase();

/** What makes a transition happen: nothing for one that only has a guard. */
export const eventWords = ({ eventType, source }: AnyTransitionDefinition): string => {
  const [, kind, rest = ""] =
    /^xstate\.(done\.actor|done\.state|error\.actor|after)\.(.*)$/.exec(eventType) ?? [];
  switch (kind) {
    case "done.actor":
      return "done";
    case "done.state":
      return "finished";
    case "error.actor":
      return rest === "*" ? "an actor crashes" : "fails";
    case "after":
      return `after ${delayWords(rest.slice(0, -source.id.length - 1))}`;
    default:
      return plain(eventType);
  }
};

const delayWords = (delay: string): string =>
  /^\d+$/.test(delay) ? `${Number(delay) / 1000} s` : plain(delay);

/** The guard with the words of its parameters; `otherwise` for the last resort among several candidates. */
export const guardWords = (transition: AnyTransitionDefinition, isLastResort: boolean): string => {
  if (transition.guard === undefined) return isLastResort ? "otherwise" : "";
  return wordsOfGuard(transition.guard);
};

/** A guard is a name, a name with parameters, or a function that XState made out of others: `not("isReady")`. */
const wordsOfGuard = (guard: unknown): string => {
  if (typeof guard === "string") return plain(guard);
  if (typeof guard === "function" && "guards" in guard && Array.isArray(guard.guards)) {
    const parts = guard.guards.map(wordsOfGuard);
    const { name } = guard;
    return name === "not" || parts.length === 1 ? `not: ${parts.join()}` : parts.join(` ${name} `);
  }
  if (typeof guard === "object" && guard !== null && "type" in guard) {
    return [plain(String(guard.type)), ...parameterWords("params" in guard ? guard.params : undefined)].join(
      " ",
    );
  }
  throw new Error("a guard without a name cannot be drawn: give it one in the machine's setup");
};

/** The texts among a guard's parameters, as far as they don't depend on the event and the context. */
const parameterWords = (params: unknown): readonly string[] => {
  const value = typeof params === "function" ? withoutFacts(params as (facts: object) => unknown) : params;
  const texts = typeof value === "object" && value !== null ? Object.values(value) : [value];
  return texts.filter((text) => typeof text === "string");
};

const withoutFacts = (params: (facts: object) => unknown): unknown => {
  try {
    return params({ context: {}, event: {} });
  } catch {
    return undefined;
  }
};

/** What a transition that stays in its state does, by the names of its actions. */
export const actionWords = ({ actions }: AnyTransitionDefinition): string =>
  [...new Set(actions.map(wordsOfAction))].join(", ");

const wordsOfAction = (action: unknown): string => {
  if (typeof action === "string") return plain(action);
  if (typeof action === "object" && action !== null && "type" in action) return plain(String(action.type));
  const { type, to } = action as { readonly type?: string; readonly to?: unknown };
  if (type !== "xstate.sendTo") return type === "xstate.assign" ? "remember it" : "act";
  return typeof to === "string" ? `tell ${to === "#_parent" ? "parent" : plain(to)}` : "tell another actor";
};

/** The machine behind an actor's name, if it is one. */
export const machineOf = (machine: AnyStateMachine, src: unknown): AnyStateMachine | undefined => {
  const logic = typeof src === "string" ? (machine.implementations.actors as Actors)[src] : undefined;
  return logic !== undefined && "root" in logic ? (logic as AnyStateMachine) : undefined;
};

type Actors = Readonly<Record<string, AnyActorLogic | undefined>>;
