/**
 * Looks after the connections' actors. Each is the root of an actor system of its own: in a system that all share,
 * each that begins or ends would cost time for each other that is there (XState copies the parent's children, and
 * looks through the timers of the whole system whenever an actor stops).
 */
import { type ActorRefFrom, createActor, fromCallback, type InspectionEvent } from "xstate";
import type { connectionMachine } from "../machines/connection.ts";
import type { ConnectionEvent } from "../machines/connection-facts.ts";
import type { ConnectionDefaults, ConnectionReport, ConnectionsCommand } from "../machines/daemon-facts.ts";

export interface Supervision {
  /** With everything provided. */
  readonly connection: typeof connectionMachine;
  /** Gives a connection that begins what it needs, and the way to its machine. */
  readonly opened: (connectionId: string, tell: (event: ConnectionEvent) => void) => void;
  /** Gives back what a connection that is over still holds. */
  readonly abandon: (connectionId: string) => void;
  /** Hears what the connections' actors do. */
  readonly inspect: ((event: InspectionEvent) => void) | undefined;
}

/** The daemon machine's actor `connections`. */
export const connectionSupervisor = ({ connection, opened, abandon, inspect }: Supervision) =>
  fromCallback<ConnectionsCommand, ConnectionDefaults>(({ input, receive, sendBack }) => {
    const live = new Map<string, ActorRefFrom<typeof connectionMachine>>();

    const begin = (connectionId: string, remoteAddress: string): void => {
      const actor = createActor(connection, {
        id: connectionId,
        input: { ...input, connectionId, remoteAddress },
        ...(inspect !== undefined && { inspect }),
      });
      let wasAdmitted = false;
      const over = (report: ConnectionReport): void => {
        if (!live.delete(connectionId)) return;
        abandon(connectionId);
        sendBack(report);
      };
      actor.on("connection.admitted", (admitted) => {
        wasAdmitted = true;
        sendBack(admitted);
      });
      actor.subscribe({
        complete: () => over({ type: "connection.ended", connectionId, wasAdmitted }),
        error: (error) => over({ type: "connection.crashed", connectionId, wasAdmitted, error }),
      });
      live.set(connectionId, actor);
      opened(connectionId, (event) => live.get(connectionId)?.send(event));
      actor.start();
    };

    receive((command) => {
      if (command.type === "connection.begun") begin(command.connectionId, command.remoteAddress);
      else for (const actor of live.values()) actor.send(command);
    });

    return () => {
      const left = [...live.values()];
      live.clear();
      for (const actor of left) actor.stop();
    };
  });
