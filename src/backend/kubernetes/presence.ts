/**
 * The pods that this daemon holds: those it is creating, those of its connections and sessions, and persistent ones
 * that its connections are in. Nothing that is held is left over or idle, whatever its annotations say at the moment.
 * A daemon has one presence, by whatever address and credentials its connections reach an API server.
 */
import type { Cluster } from "./cluster.ts";

export interface HeldPod {
  readonly namespace: string;
  readonly name: string;
  /** Missing until it is created. */
  readonly uid: string | undefined;
}

/** How a holder reaches the pod. */
export type Reach = Pick<Cluster, "server" | "api">;

interface Hold {
  readonly reach: Reach;
  readonly pod: HeldPod;
}

export class Presence {
  readonly #held = new Map<string, Hold[]>();

  /** Holds a pod until what it returns is called. */
  hold(reach: Reach, pod: HeldPod): () => void {
    const key = keyOf(pod);
    const hold = { reach, pod };
    const holds = this.#held.get(key);
    if (holds === undefined) this.#held.set(key, [hold]);
    else holds.push(hold);
    return () => {
      const left = (this.#held.get(key) ?? []).filter((other) => other !== hold);
      if (left.length === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    };
  }

  holds({ namespace, name, uid }: HeldPod): boolean {
    return this.#held.has(keyOf({ namespace, name, uid })) || this.#held.has(nameOf({ namespace, name }));
  }

  /** Pods that exist in a namespace of an API server, each with the way of whoever came to it last. */
  in(server: string, namespace: string): ReadonlyArray<{ readonly uid: string } & Hold> {
    return [...this.#held.values()].flatMap((holds) => {
      const hold = holds.findLast(({ reach, pod }) => reach.server === server && pod.namespace === namespace);
      return hold?.pod.uid === undefined ? [] : [{ ...hold, uid: hold.pod.uid }];
    });
  }
}

/** No two clusters give the same uid. Names are not told apart by cluster: that only ever spares a pod. */
const keyOf = (pod: HeldPod): string => pod.uid ?? nameOf(pod);

const nameOf = ({ namespace, name }: Pick<HeldPod, "namespace" | "name">): string => `${namespace}/${name}`;
