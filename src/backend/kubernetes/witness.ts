/**
 * Which daemons are gone. One on this host is looked up in /proc; of one elsewhere it is known by its silence: daemons
 * in pods renew a mark, and marks that have not changed for a long while by our own clock are nobody's. No clock but
 * ours counts, one look proves nothing, and where we did not look nobody was silent: an API server that was away kept
 * them from speaking, too.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect } from "effect";
import { decodeWhereabouts, isGone, type Whereabouts } from "../docker/instance.ts";
import { isProof, ownerOf, usersOf, whereaboutsOf } from "./marks.ts";

/** How often a daemon renews a mark. */
export const HEARTBEAT_MILLIS = 30_000;

/** More than three marks in a row have failed to come. */
export const SILENCE_MILLIS = 100_000;

/** Looks that are further apart are no listening. */
const LONGEST_PAUSE_MILLIS = 2 * HEARTBEAT_MILLIS;

/** `gone`: there is no such process. `silent`: it used to say that it lives, and has not for `SILENCE_MILLIS`. */
export type Absence = "gone" | "silent";

interface Testimony {
  /** All its marks on all pods. */
  readonly marks: readonly string[];
  /** Whether it has ever shown that it can say it lives: it may have left the pods that it said so on. */
  readonly isProven: boolean;
  readonly since: number;
}

export class Witness {
  readonly #here: Whereabouts | undefined;
  #heard: ReadonlyMap<string, Testimony> = new Map();
  #absences: ReadonlyMap<string, Absence> = new Map();
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(here: Whereabouts | undefined) {
    this.#here = here;
  }

  /** Takes in what all pods of a namespace say. `now` in milliseconds of a clock that never jumps. */
  look(pods: readonly V1Pod[], now: number): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const wasAway = now - this.#lookedAt > LONGEST_PAUSE_MILLIS;
      this.#lookedAt = now;
      const heard = new Map<string, Testimony>();
      for (const [id, marks] of marksOf(pods)) {
        const before = this.#heard.get(id);
        const isNew = before === undefined || before.marks.join("\n") !== marks.join("\n");
        const isProven = before?.isProven === true || marks.some(isProof);
        heard.set(id, { marks, isProven, since: isNew || wasAway ? now : before.since });
      }
      this.#heard = heard;
      const absences = new Map<string, Absence>();
      for (const [id, testimony] of heard) {
        const absence = yield* this.#judge(testimony, now - testimony.since);
        if (absence !== undefined) absences.set(id, absence);
      }
      this.#absences = absences;
    });
  }

  /** How a daemon is known to be away, as of the last look; undefined when it may well be there. */
  absenceOf(id: string): Absence | undefined {
    return this.#absences.get(id);
  }

  #judge({ marks, isProven }: Testimony, silentMillis: number): Effect.Effect<Absence | undefined> {
    const there = marks
      .map((mark) => decodeWhereabouts(whereaboutsOf(mark)))
      .find((known) => known !== undefined);
    const bySilence = silentMillis >= SILENCE_MILLIS && isProven ? "silent" : undefined;
    if (there === undefined || this.#here === undefined) return Effect.succeed(bySilence);
    return Effect.map(isGone(there, this.#here), (isCertain) => (isCertain ? "gone" : bySilence));
  }
}

const marksOf = (pods: readonly V1Pod[]): ReadonlyMap<string, readonly string[]> => {
  const marks = new Map<string, string[]>();
  for (const pod of pods) {
    for (const [id, mark] of usersOf(pod)) marks.set(id, [...(marks.get(id) ?? []), mark]);
    // A pod whose daemon's marks were taken away by hand still says whose it is.
    const owner = ownerOf(pod);
    if (owner !== undefined && !marks.has(owner)) marks.set(owner, []);
  }
  for (const [id, all] of marks) marks.set(id, all.sort());
  return marks;
};
