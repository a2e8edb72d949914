/**
 * Hears everything the actor system does and writes down what may be seen of it: the lines of the traces and the counts
 * of the overview. What it writes has been through `reduce.ts` already.
 */
import {
  type AnyActor,
  type AnyMachineSnapshot,
  type AnyStateNode,
  type InspectionEvent,
  StateMachine,
} from "xstate";
import { transitionId } from "../../machines/transition-id.ts";
import { UNTIMED } from "../../machines/untimed.ts";
import type { Entry } from "../log/entry.ts";
import {
  type ActorStatus,
  leavesOf,
  type RefusalSeen,
  type Row,
  type StateValue,
  type Statistics,
  type Visits,
} from "./format.ts";
import { plainDetails, reduceConnection, reduceEvent, reduceRefusal, refusalIn } from "./reduce.ts";
import { Counts } from "./statistics.ts";
import { type HistoryLimits, Traces } from "./traces.ts";
import {
  type OpenStep,
  type Owner,
  sinceStart,
  type WatchedActor,
  type WatchedConnection,
} from "./watched.ts";

type MachineActor = WatchedActor & { readonly machine: string };

/** Actions by which a user is told why something was refused. */
const TELLING: ReadonlySet<string> = new Set(["showBanner", "showFailure", "disconnect"]);
/** Clients that never became connections. */
const TURNED_AWAY: ReadonlySet<string> = new Set([
  "SSH_STARTUPS_EXCEEDED",
  "SSH_STARTING_UP",
  "SSH_ACCEPT_FAILED",
  "SSH_SHUTTING_DOWN",
]);

export class Recorder {
  readonly traces: Traces;
  readonly #counts = new Counts();
  readonly #actors = new WeakMap<object, WatchedActor>();
  /** The daemon's own actor, once there is one. */
  #root: AnyActor | undefined;
  readonly #listeners = new Set<(event: InspectionEvent) => void>();

  constructor(limits: HistoryLimits) {
    this.traces = new Traces(limits);
  }

  /** XState's `inspect` option of the root actor. */
  readonly observe = (event: InspectionEvent): void => {
    switch (event.type) {
      case "@xstate.actor":
        this.#made(event.actorRef as AnyActor);
        break;
      case "@xstate.event":
        this.#sent(event.actorRef, event.sourceRef, event.event);
        break;
      case "@xstate.action":
        this.#acted(event.actorRef, event.action);
        break;
      case "@xstate.microstep":
        this.#moved(event.actorRef, event);
        break;
      case "@xstate.snapshot":
        this.#settled(event.actorRef as AnyActor, event.snapshot as AnyMachineSnapshot, event.event);
        break;
    }
    for (const listener of this.#listeners) listener(event);
  };

  /** A line of the log, whatever the log's own threshold is. */
  readonly logged = ({ level, code, message, details }: Entry): void => {
    const { connectionId, remoteAddr: _, ...rest } = details;
    const owner =
      typeof connectionId === "string" ? this.traces.ofConnection(connectionId) : this.traces.daemon;
    if (owner === this.traces.daemon && TURNED_AWAY.has(code)) this.#counts.refused({ code, message }, "");
    if (owner === undefined) return;
    this.traces.push(owner, {
      type: "log",
      at: sinceStart(owner),
      level,
      code,
      message,
      details: plainDetails(rest),
    });
  };

  /** Everything that happens, as XState tells it, after it was recorded. Gives a way to stop listening. */
  listen(listener: (event: InspectionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The actors there are, parents before their children. */
  liveActors(): readonly AnyActor[] {
    return this.traces.live().flatMap(({ actors }) => [...actors]);
  }

  /** The actor above another: above a connection, which is the root of a system of its own, is the daemon. */
  parentOf(ref: AnyActor): AnyActor | undefined {
    if (ref._parent !== undefined) return ref._parent as AnyActor;
    return ref === this.#root ? undefined : this.#root;
  }

  /** The connection of an actor; undefined for the daemon and its services. */
  connectionOf(actor: object): string | undefined {
    return this.#actors.get(actor)?.owner.connection?.row.id;
  }

  statistics(): Statistics {
    return this.#counts.statistics();
  }

  visits(): Readonly<Record<string, Visits>> {
    return this.#counts.visits();
  }

  #made(ref: AnyActor): void {
    const machine = ref.logic instanceof StateMachine ? String(ref.logic.id) : undefined;
    const parent = ref._parent === undefined ? undefined : this.#actors.get(ref._parent);
    if (parent !== undefined && isMachine(parent)) this.#stepOf(parent);
    const owner = this.#ownerFor(ref, machine, parent);
    const watched: WatchedActor = {
      actor: ref.sessionId,
      name: ref.id,
      madeAt: performance.now(),
      machine,
      owner,
      inbox: [],
      active: [],
      step: undefined,
      refusal: undefined,
      refusalRef: undefined,
      status: "active",
    };
    this.#actors.set(ref, watched);
    owner.actors.add(ref);
    this.traces.push(owner, {
      type: "actor",
      at: sinceStart(owner),
      actor: ref.sessionId,
      ...(parent !== undefined && { parent: parent.actor }),
      name: ref.id,
      ...(typeof ref.src === "string" && { src: ref.src }),
      ...(machine !== undefined && { machine }),
    });
  }

  #ownerFor(ref: AnyActor, machine: string | undefined, parent: WatchedActor | undefined): Owner {
    if (parent !== undefined) return parent.owner;
    if (machine !== "connection") {
      this.#root = ref;
      return this.traces.daemon;
    }
    const { remoteAddress = "" } = (ref.options.input ?? {}) as { readonly remoteAddress?: string };
    return this.traces.begin(ref.id, remoteAddress);
  }

  #sent(target: object, source: object | undefined, event: { readonly type: string }): void {
    const sender = source === undefined ? undefined : this.#actors.get(source);
    // An actor whose action threw ends without another word of its own.
    if (sender !== undefined && event.type.startsWith("xstate.error.actor.")) this.#crashed(source, sender);
    if (event.type === "connection.crashed") this.#connectionCrashed(event);
    const receiver = this.#actors.get(target);
    if (receiver === undefined || !isMachine(receiver) || receiver.status !== "active") return;
    if (event.type === "connection.admitted") this.#admitted(event);
    receiver.inbox.push({ event, from: sender?.actor });
    if (event.type === "xstate.init") this.#stepOf(receiver);
  }

  #admitted(event: object): void {
    this.#counts.loggedIn();
    const owner = "connectionId" in event ? this.traces.ofConnection(String(event.connectionId)) : undefined;
    // Whatever was refused before, somebody was let in: the trace keeps it, and nobody looks for it any more.
    if (owner?.connection !== undefined)
      this.traces.update(owner.connection, { loggedIn: true, code: undefined });
  }

  #connectionCrashed(event: object): void {
    const owner = "connectionId" in event ? this.traces.ofConnection(String(event.connectionId)) : undefined;
    const [root] = owner?.actors ?? [];
    const watched = root === undefined ? undefined : this.#actors.get(root);
    if (watched !== undefined) this.#crashed(root, watched);
  }

  #acted(ref: object, { type, params }: { readonly type: string; readonly params: unknown }): void {
    const watched = this.#actors.get(ref);
    if (watched === undefined || !isMachine(watched)) return;
    const step = this.#stepOf(watched);
    if (TELLING.has(type) && hasText(params)) step.told = true;
  }

  #moved(ref: object, moved: Extract<InspectionEvent, { type: "@xstate.microstep" }>): void {
    const watched = this.#actors.get(ref);
    if (watched === undefined || !isMachine(watched)) return;
    const { value, _nodes } = moved.snapshot as AnyMachineSnapshot;
    const step = this.#stepOf(watched);
    const transitions = moved._transitions.flatMap((each) => transitionId(each) ?? []);
    for (const transition of transitions) this.#counts.taken(watched.machine, transition);
    step.moves.push({ event: moved.event.type, transitions, value: value as StateValue });
    this.#visited(watched, _nodes);
  }

  #settled(ref: AnyActor, snapshot: AnyMachineSnapshot, event: { readonly type: string }): void {
    const watched = this.#actors.get(ref);
    if (watched === undefined || watched.status !== "active") return;
    if (isMachine(watched)) this.#finishStep(watched, snapshot, event);
    else if (snapshot.status !== "active") {
      const { owner, actor } = watched;
      this.traces.push(owner, { type: "end", at: sinceStart(owner), actor, status: snapshot.status });
      this.#answered(ref, watched);
    }
    if (snapshot.status !== "active") this.#ended(ref, watched, snapshot.status);
  }

  #finishStep(watched: MachineActor, snapshot: AnyMachineSnapshot, event: { readonly type: string }): void {
    const { owner, actor } = watched;
    const { place, at, moves, told } = this.#stepOf(watched);
    watched.step = undefined;
    const value = snapshot.value as StateValue;
    if (moves.length === 0) moves.push({ transitions: [], value });
    this.#visited(watched, snapshot._nodes);
    const sent = takeFrom(watched.inbox, event);
    const refusal = refusalIn(snapshot.context);
    const isNew = refusal !== undefined && refusal !== watched.refusalRef;
    watched.refusalRef = refusal;
    watched.refusal = refusal === undefined ? undefined : isNew ? reduceRefusal(refusal) : watched.refusal;
    this.traces.fill(owner, place, {
      type: "step",
      at,
      actor,
      ...(sent !== undefined && { from: sent }),
      event: reduceEvent(event),
      moves: moves.map(({ event: raised, ...move }) =>
        raised === undefined || raised === event.type ? move : { event: raised, ...move },
      ),
      status: snapshot.status,
      ...(isNew && watched.refusal !== undefined && { refusal: watched.refusal }),
      ...(told && { told }),
    });
    if (owner.connection !== undefined) this.#show(owner.connection, watched, snapshot, told);
  }

  /** Brings the connection's row up to date with a step of one of its machines. */
  #show(
    connection: WatchedConnection,
    watched: MachineActor,
    snapshot: AnyMachineSnapshot,
    told: boolean,
  ): void {
    const { machine, refusal } = watched;
    const isConnection = machine === "connection";
    const [leaf = ""] = leavesOf(snapshot.value as StateValue);
    const change: { -readonly [Key in keyof Row]?: Row[Key] } = {};
    if (isConnection || machine === "authentication")
      Object.assign(change, reduceConnection(snapshot.context));
    if (isConnection && leaf !== connection.row.state) {
      change.state = leaf;
      change.since = Date.now();
    }
    if (!isConnection && machine !== "session") {
      if (snapshot.status !== "active") {
        if (connection.row.detail.startsWith(`${machine}: `)) change.detail = "";
      } else if (!this.#waitsForMachine(snapshot)) change.detail = `${machine}: ${leaf}`;
    }
    const isPersons = told && refusal !== undefined && !isClients(machine, refusal);
    if (refusal !== undefined && (isPersons || isConnection)) change.code = refusal.code;
    this.traces.update(connection, change);
    if (refusal === undefined) return;
    if (isConnection || machine === "authentication") connection.refusal = refusal;
    if (!isPersons) return;
    const { code, message } = refusal;
    const { counted } = connection;
    const isPassedOn =
      counted?.code === code && counted.message === message && counted.actor !== watched.actor;
    if (isPassedOn) return;
    connection.counted = { actor: watched.actor, code, message };
    this.#counts.refused(refusal, connection.row.reference);
  }

  /** Whether there is a machine within this one, which tells more exactly where it is. */
  #waitsForMachine({ children }: AnyMachineSnapshot): boolean {
    return Object.values<AnyActor>(children).some((child) => {
      const watched = this.#actors.get(child);
      return watched !== undefined && isMachine(watched) && watched.status === "active";
    });
  }

  /** A connection that ends without a login was refused for its last reason, also when none was told. */
  #concluded({ refusal, counted, row }: WatchedConnection): Partial<Row> {
    if (row.loggedIn || counted !== undefined || refusal === undefined) return {};
    this.#counts.refused(refusal, row.reference);
    return { code: refusal.code };
  }

  #crashed(ref: object | undefined, watched: WatchedActor): void {
    if (watched.status !== "active") return;
    const { owner, actor, step } = watched;
    const line = { type: "end", at: sinceStart(owner), actor, status: "error" } as const;
    if (step === undefined) this.traces.push(owner, line);
    else this.traces.fill(owner, step.place, line);
    this.#ended(ref as AnyActor, watched, "error");
  }

  #ended(ref: AnyActor, watched: WatchedActor, status: ActorStatus): void {
    const { owner, machine } = watched;
    watched.status = status;
    owner.actors.delete(ref);
    if (machine !== "connection") return;
    if (owner.connection !== undefined)
      this.traces.update(owner.connection, this.#concluded(owner.connection));
    this.traces.finish(owner);
  }

  #visited(watched: MachineActor, nodes: readonly AnyStateNode[]): void {
    for (const node of nodes) {
      if (!watched.active.includes(node)) this.#counts.entered(watched.machine, node.id);
    }
    watched.active = nodes;
  }

  /** How long a machine waited for a source, up to its answer or until it waited no longer. */
  #answered(ref: AnyActor, { name, madeAt }: WatchedActor): void {
    const state = stateOf(name);
    if (state === undefined || isUntimed(ref._parent as AnyActor | undefined, state)) return;
    this.#counts.lasted(state, performance.now() - madeAt);
  }

  /** The step that is under way, begun now if none is: its line comes before those of what it causes. */
  #stepOf(watched: MachineActor): OpenStep {
    if (watched.step !== undefined) return watched.step;
    const { owner } = watched;
    const step = { place: owner.lines.reserve(), at: sinceStart(owner), moves: [], told: false };
    watched.step = step;
    return step;
  }
}

const isMachine = (watched: WatchedActor): watched is MachineActor => watched.machine !== undefined;

const hasText = (params: unknown): boolean =>
  typeof params === "object" && params !== null && "text" in params && params.text !== "";

/** A client tries its keys by itself: what is refused then counts when the connection ends by it. */
const isClients = (machine: string, { level }: RefusalSeen): boolean =>
  machine === "authentication" && level === "info";

/** Whether a machine waits in this state for somebody who may take their time. */
const isUntimed = (machine: AnyActor | undefined, state: string): boolean =>
  machine?.logic instanceof StateMachine && machine.logic.getStateNodeById(state).tags.includes(UNTIMED);

/** Who sent an event, which leaves the inbox with those before it. */
const takeFrom = (inbox: WatchedActor["inbox"], event: object): string | undefined => {
  const index = inbox.findIndex((sent) => sent.event === event);
  return index === -1 ? undefined : inbox.splice(0, index + 1).at(-1)?.from;
};

/** The state that started an actor which has no name of its own. */
const stateOf = (actorId: string): string | undefined => /^\d+\.(.+)$/.exec(actorId)?.[1];
