/**
 * The pods that this daemon holds: those it is creating, those of its connections and sessions, and persistent ones
 * that its connections are in. Nothing that is held is left over or idle, whatever its annotations say at the moment.
 */

export interface HeldPod {
  readonly namespace: string;
  readonly name: string;
  /** Missing until it is created. */
  readonly uid: string | undefined;
}

export class Presence {
  readonly #held = new Map<string, { pod: HeldPod; holders: number }>();

  /** Every `hold` needs its `release`. */
  hold(pod: HeldPod): void {
    const key = keyOf(pod);
    const held = this.#held.get(key);
    if (held === undefined) this.#held.set(key, { pod, holders: 1 });
    else {
      held.holders += 1;
      if (pod.uid !== undefined) held.pod = pod;
    }
  }

  release(pod: Pick<HeldPod, "namespace" | "name">): void {
    const held = this.#held.get(keyOf(pod));
    if (held === undefined) return;
    held.holders -= 1;
    if (held.holders === 0) this.#held.delete(keyOf(pod));
  }

  holds(pod: Pick<HeldPod, "namespace" | "name">): boolean {
    return this.#held.has(keyOf(pod));
  }

  in(namespace: string): readonly HeldPod[] {
    return [...this.#held.values()].map(({ pod }) => pod).filter((pod) => pod.namespace === namespace);
  }
}

const keyOf = ({ namespace, name }: Pick<HeldPod, "namespace" | "name">): string => `${namespace}/${name}`;
