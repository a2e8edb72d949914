/**
 * Loaded before the daemon (`node --import`): writes down every step of every machine, from the first one of the root
 * actor to its last, which no service of the daemon could tell. One line of JSON for each.
 */
import { appendFileSync } from "node:fs";
import { Actor } from "xstate";
import { transitionId } from "../../../dist/machines/transition-id.js";

const file = process.env.BERTH_MODEL_STEPS;

const connectionOf = (actor) => {
  for (let each = actor; each !== undefined; each = each._parent)
    if (each.logic?.id === "connection") return each.id;
  return undefined;
};

const write = ({ type, actorRef, event, snapshot, _transitions = [] }) => {
  const { machine, status, _nodes: nodes } = snapshot ?? {};
  const begins = type === "@xstate.snapshot" && event.type === "xstate.init";
  if (machine === undefined || nodes === undefined || !(begins || type === "@xstate.microstep")) return;
  const step = {
    machine: machine.id,
    actor: actorRef.sessionId,
    connection: connectionOf(actorRef),
    event: event.type,
    transitions: _transitions.map(transitionId).filter((id) => id !== undefined),
    states: nodes.map(({ id }) => id),
    status,
  };
  appendFileSync(file, `${JSON.stringify(step)}\n`);
};

const { start } = Actor.prototype;
const watched = new WeakSet();
Actor.prototype.start = function () {
  if (file !== undefined && this._parent === undefined && !watched.has(this)) {
    watched.add(this);
    this.system.inspect(write);
  }
  return start.call(this);
};

/** A bug of ours, to be caused from outside. */
process.on("SIGUSR2", () => {
  throw new Error("a bug");
});
