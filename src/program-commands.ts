/** What a client asks of its running program, until that has been carried out: one after the other, and not without end. */
import { Effect, Latch } from "effect";
import type { TerminalSize } from "../machines/facts.ts";
import type { ProgramCommand } from "../machines/session.ts";

/** How many signals may wait for a program that takes them slowly. */
const MOST_SIGNALS = 16;

export class ProgramCommands {
  readonly #arrived = Latch.makeUnsafe();
  readonly #signals: string[] = [];
  /** Of sizes that wait only the last one is still anybody's wish. */
  #size: TerminalSize | undefined;

  /** Whether there was room for it. */
  add(command: ProgramCommand): boolean {
    if (command.type === "window.changed") this.#size = command.size;
    else if (this.#signals.length >= MOST_SIGNALS) return false;
    else this.#signals.push(command.signal);
    this.#arrived.openUnsafe();
    return true;
  }

  /** Takes the next command, once there is one. */
  readonly next: Effect.Effect<ProgramCommand> = Effect.suspend(() => {
    const command = this.#take();
    if (command !== undefined) return Effect.succeed(command);
    this.#arrived.closeUnsafe();
    return Effect.andThen(this.#arrived.await, this.next);
  });

  #take(): ProgramCommand | undefined {
    const size = this.#size;
    if (size !== undefined) {
      this.#size = undefined;
      return { type: "window.changed", size };
    }
    const signal = this.#signals.shift();
    return signal === undefined ? undefined : { type: "signal.requested", signal };
  }
}
