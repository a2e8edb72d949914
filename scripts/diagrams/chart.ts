/** What a diagram of a machine shows, before it has a place: states, what they invoke, and labelled transitions. */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate";
import { statesOf, transitionId, transitionsOf } from "../../machines/transition-id.ts";
import { actionWords, eventWords, guardWords, machineOf, plain } from "./words.ts";

export interface Chart {
  /** The machine's file without its ending. */
  readonly name: string;
  readonly root: ChartState;
  /** Drawn as lines. */
  readonly edges: readonly ChartTransition[];
}

export interface ChartState {
  readonly id: string;
  readonly title: string;
  readonly kind: "atomic" | "compound" | "parallel" | "final";
  readonly invokes: readonly ChartInvoke[];
  /** Written into the state's box: what stays in the state, and what leads to where many transitions lead. */
  readonly rows: readonly ChartTransition[];
  readonly children: readonly ChartState[];
  readonly initial: string | undefined;
}

export interface ChartInvoke {
  readonly text: string;
  /** The name of the machine that is invoked, if it is one. */
  readonly machine: string | undefined;
}

export interface ChartTransition {
  readonly id: string;
  readonly source: string;
  readonly target: string | undefined;
  readonly label: string;
}

/** A target that more states lead to than this is named in their boxes: lines would cover all else. */
const LINES_TO_ONE_TARGET = 5;
/** More transitions than these from one state to another are written in its box: their words would not fit on a line. */
const TRANSITIONS_ON_ONE_LINE = 3;

/** `nameOf` tells under which name another machine is drawn. */
export const chartOf = (
  name: string,
  machine: AnyStateMachine,
  nameOf: (id: string) => string | undefined,
): Chart => {
  const all = statesOf(machine.root).flatMap(transitionsOf);
  const sources = new Map<AnyStateNode, Set<AnyStateNode>>();
  for (const { source, target: [target] = [] } of all)
    if (target !== undefined) sources.set(target, new Set(sources.get(target)).add(source));
  const isRow = ({ source, target: [target] = [] }: AnyTransitionDefinition): boolean =>
    target === undefined ||
    isWithin(target, source) ||
    (sources.get(target)?.size ?? 0) > LINES_TO_ONE_TARGET ||
    transitionsOf(source).filter((other) => other.target?.[0] === target).length > TRANSITIONS_ON_ONE_LINE;

  const stateOf = (node: AnyStateNode): ChartState => ({
    id: node.id,
    title: plain(node.key),
    kind: node.type === "history" ? "atomic" : node.type,
    invokes: node.invoke.map(({ src }) => {
      const invoked = machineOf(machine, src);
      const name = invoked && nameOf(invoked.id);
      return { text: name ?? plain(String(src)), machine: name };
    }),
    rows: transitionsOf(node)
      .filter(isRow)
      .map((transition) => ({
        ...transitionOf(transition),
        label: rowLabel(transition),
      })),
    children: Object.values(node.states).map(stateOf),
    initial: node.type === "compound" ? node.initial.target?.[0]?.id : undefined,
  });
  return {
    name,
    root: stateOf(machine.root),
    edges: all.filter((transition) => !isRow(transition)).map(transitionOf),
  };
};

const transitionOf = (transition: AnyTransitionDefinition): ChartTransition => {
  const id = transitionId(transition);
  if (id === undefined) throw new Error(`a transition of ${transition.source.id} has no name`);
  return {
    id,
    source: transition.source.id,
    target: transition.target?.[0]?.id,
    label: labelOf(transition),
  };
};

const labelOf = (transition: AnyTransitionDefinition): string => {
  const guard = guardWords(transition, isLastResort(transition));
  return [eventWords(transition), guard && `[${guard}]`].filter((words) => words !== "").join(" ");
};

const rowLabel = (transition: AnyTransitionDefinition): string => {
  const target = transition.target?.[0];
  if (target === undefined) {
    const actions = actionWords(transition);
    return `${labelOf(transition)}: ${actions === "" ? "nothing" : actions}`;
  }
  return target === transition.source
    ? `${labelOf(transition)}: again`
    : `${labelOf(transition)} → ${pathTo(target, transition.source)}`;
};

/** A state's name as it is found from another: without the states around it that are around both. */
const pathTo = (target: AnyStateNode, from: AnyStateNode): string => {
  const near = target.path.findIndex((key, depth) => key !== from.path[depth]);
  return plain(target.path.slice(near === -1 ? -1 : near).join(" / "));
};

/** Whether other transitions for the same event are tried before. */
const isLastResort = (transition: AnyTransitionDefinition): boolean =>
  transitionsOf(transition.source).some(
    (other) => other !== transition && other.eventType === transition.eventType && other.guard !== undefined,
  );

const isWithin = (state: AnyStateNode, outer: AnyStateNode): boolean =>
  state === outer || (state.parent !== undefined && isWithin(state.parent, outer));
