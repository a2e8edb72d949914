/** Names for transitions that stay the same from one run to the next: in diagrams, traces and the coverage of tests. */
import type { AnyStateNode, AnyTransitionDefinition } from "xstate";

/**
 * `<id of the source state>|<event>|<index among that event's candidates>`; eventless transitions have `always` for
 * the event. Undefined for the step into a machine's initial state, which is nobody's transition.
 *
 * @example "docker.container.lookingUp|xstate.done.actor.0.docker.container.lookingUp|1"
 */
export const transitionId = (transition: AnyTransitionDefinition): string | undefined => {
  const { source, eventType } = transition;
  const always = source.always ?? [];
  if (always.includes(transition)) return `${source.id}|always|${always.indexOf(transition)}`;
  const index = source.transitions.get(eventType)?.indexOf(transition) ?? -1;
  return index === -1 ? undefined : `${source.id}|${eventType}|${index}`;
};

/** The transitions that leave a state, or stay in it, in the order in which they are tried. */
export const transitionsOf = (state: AnyStateNode): readonly AnyTransitionDefinition[] => [
  ...(state.always ?? []),
  ...[...state.transitions.values()].flat(),
];

/** A state and all within it. */
export const statesOf = (state: AnyStateNode): readonly AnyStateNode[] => [
  state,
  ...Object.values(state.states).flatMap(statesOf),
];
