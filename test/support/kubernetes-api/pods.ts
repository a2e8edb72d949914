/** The pods of an API server of our own: kept in memory, with versions, preconditions and watches like Kubernetes'. */
import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import type { V1ContainerState, V1Pod } from "@kubernetes/client-node";

/** An answer of the API: an HTTP status and a Status object. */
export class ApiError extends Error {
  readonly httpStatus: number;
  readonly reason: string;
  /** The header `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;

  constructor(httpStatus: number, reason: string, message: string, retryAfterSeconds?: number) {
    super(message);
    this.httpStatus = httpStatus;
    this.reason = reason;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface PodEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: V1Pod;
}

export class Pods {
  /** The server's clock. */
  readonly now: () => Date;
  readonly #pods = new Map<string, V1Pod>();
  readonly #events = new EventEmitter().setMaxListeners(0);
  readonly #history: PodEvent[] = [];
  #version = 100;

  constructor(now: () => Date = () => new Date()) {
    this.now = now;
  }

  list(namespace: string): V1Pod[] {
    return [...this.#pods.values()].filter(({ metadata }) => metadata?.namespace === namespace);
  }

  get(namespace: string, name: string): V1Pod {
    const pod = this.#pods.get(`${namespace}/${name}`);
    if (pod === undefined) throw new ApiError(404, "NotFound", `pods "${name}" not found`);
    return pod;
  }

  /** `state`: `{ running: {} }` for a pod that is up at once. */
  create(namespace: string, manifest: V1Pod, state: V1ContainerState): V1Pod {
    const name = manifest.metadata?.name ?? "";
    if (this.#pods.has(`${namespace}/${name}`)) {
      throw new ApiError(409, "AlreadyExists", `pods "${name}" already exists`);
    }
    const pod = {
      ...manifest,
      metadata: {
        ...manifest.metadata,
        namespace,
        uid: randomUUID(),
        creationTimestamp: this.now().toISOString(),
      },
    } as unknown as V1Pod;
    return this.#keep("ADDED", withState(pod, state));
  }

  /** Changes a pod's state as a kubelet does. */
  setState(namespace: string, name: string, state: V1ContainerState, restarts = 0): void {
    this.#keep("MODIFIED", withState(this.get(namespace, name), state, restarts));
  }

  /** Lets a pod be older than it is. */
  age(namespace: string, name: string, seconds: number): void {
    const pod = this.get(namespace, name);
    const creationTimestamp = new Date(
      this.now().getTime() - seconds * 1000,
    ).toISOString() as unknown as Date;
    this.#keep("MODIFIED", { ...pod, metadata: { ...pod.metadata, creationTimestamp } });
  }

  annotate(namespace: string, name: string, patch: V1Pod): V1Pod {
    const pod = this.get(namespace, name);
    const { uid, resourceVersion, annotations = {} } = patch.metadata ?? {};
    if (uid !== undefined && uid !== pod.metadata?.uid) {
      throw new ApiError(422, "Invalid", `Pod "${name}" is invalid: metadata.uid: field is immutable`);
    }
    if (resourceVersion !== undefined && resourceVersion !== pod.metadata?.resourceVersion) {
      throw new ApiError(409, "Conflict", "the object has been modified");
    }
    const merged = { ...pod.metadata?.annotations, ...annotations } as Record<string, string | null>;
    const kept = Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== null);
    return this.#keep("MODIFIED", {
      ...pod,
      metadata: { ...pod.metadata, annotations: Object.fromEntries(kept) },
    });
  }

  /** `graceful`: the pod is marked as terminating and stays until `remove`. */
  delete(
    namespace: string,
    name: string,
    { uid, resourceVersion }: { readonly uid?: string; readonly resourceVersion?: string } = {},
    graceful = false,
  ): V1Pod {
    const pod = this.get(namespace, name);
    const { metadata = {} } = pod;
    if (
      (uid ?? metadata.uid) !== metadata.uid ||
      (resourceVersion ?? metadata.resourceVersion) !== metadata.resourceVersion
    ) {
      throw new ApiError(409, "Conflict", "Precondition failed");
    }
    if (graceful) {
      const deletionTimestamp = this.now().toISOString() as unknown as Date;
      return this.#keep("MODIFIED", { ...pod, metadata: { ...metadata, deletionTimestamp } });
    }
    return this.remove(namespace, name);
  }

  remove(namespace: string, name: string): V1Pod {
    const pod = this.get(namespace, name);
    this.#pods.delete(`${namespace}/${name}`);
    const gone = this.#versioned(pod);
    this.#tell({ type: "DELETED", object: gone });
    return gone;
  }

  /** Tells what happens to pods after a version; returns what ends it. */
  watch(fromVersion: number, see: (event: PodEvent) => void): () => void {
    for (const event of this.#history) {
      if (Number(event.object.metadata?.resourceVersion) > fromVersion) see(event);
    }
    this.#events.on("event", see);
    return () => this.#events.off("event", see);
  }

  #keep(type: PodEvent["type"], pod: V1Pod): V1Pod {
    const kept = this.#versioned(pod);
    this.#pods.set(`${kept.metadata?.namespace}/${kept.metadata?.name}`, kept);
    this.#tell({ type, object: kept });
    return kept;
  }

  #versioned(pod: V1Pod): V1Pod {
    this.#version += 1;
    return { ...pod, metadata: { ...pod.metadata, resourceVersion: String(this.#version) } };
  }

  #tell(event: PodEvent): void {
    this.#history.push(event);
    this.#events.emit("event", event);
  }
}

const phaseOf = ({ running, terminated }: V1ContainerState): string => {
  if (running !== undefined) return "Running";
  if (terminated === undefined) return "Pending";
  return terminated.exitCode === 0 ? "Succeeded" : "Failed";
};

const withState = (pod: V1Pod, state: V1ContainerState, restarts = 0): V1Pod => {
  const isRunning = state.running !== undefined;
  return {
    ...pod,
    status: {
      phase: phaseOf(state),
      conditions: [{ type: "Ready", status: isRunning ? "True" : "False" }],
      containerStatuses: (pod.spec?.containers ?? []).map(({ name, image = "" }) => ({
        name,
        image,
        imageID: `sha256:${image}`,
        containerID: `test://${pod.metadata?.uid}/${restarts}`,
        ready: isRunning,
        restartCount: restarts,
        state,
      })),
    },
  };
};
