/**
 * The shape every failure of a source has: a tag for the code, a message code for operators, a sentence for the
 * user, a message and details for the log. Machines read it as a `Refusal`.
 */
import { Data } from "effect";
import type { Level, Refusal } from "../machines/facts.ts";

export interface FailureFields {
  readonly message: string;
  readonly details?: Refusal["details"];
  /** The error underneath, for debug logs only: it is never shown to a user. */
  readonly cause?: unknown;
}

/**
 * A class of failures with one message code, one sentence for the user, and a level for the log: `error` (the
 * default) when an operator has something to mend, `notice` when the user did something wrong.
 *
 * @example
 * class PodNotFound extends failure("PodNotFound", "KUBERNETES_POD_NOT_FOUND", "Your environment does not exist yet. Ask your administrator to create it.") {}
 * new PodNotFound({ message: "no pod jane in default", details: { namespace: "default", pod: "jane" } })
 */
export const failure = <Tag extends string, Code extends string>(
  tag: Tag,
  code: Code,
  userMessage: string,
  level: Level = "error",
) =>
  class extends Data.TaggedError(tag)<FailureFields> {
    readonly code = code;
    readonly userMessage = userMessage;
    readonly level = level;
  };

/** Any failure a source may have. */
export interface Failure extends Error {
  readonly _tag: string;
  readonly code: string;
  readonly userMessage: string;
  readonly details?: Refusal["details"];
  readonly level?: Level;
}
