/** One trace: the statecharts of its actors, its timeline, and the slider that walks through both. */
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Trace } from "../format.ts";
import { Chart } from "./chart.tsx";
import { Player } from "./player.tsx";
import { type ActorSeen, type Entry, livesAt, machinesAt, type Replay, replayOf } from "./replay.ts";
import { ReplayHead } from "./replay-head.tsx";
import { Timeline } from "./timeline.tsx";
import { spoken } from "./words.ts";

export interface ReplayProps {
  readonly trace: Trace;
  readonly isLive: boolean;
  /** Whether it begins at the step that refused. */
  readonly atRefusal: boolean;
  readonly source: "daemon" | "file";
}

/** The nearest machine an entry is about. */
const machineOf = (entry: Entry | undefined): ActorSeen | undefined => {
  let actor = entry?.actor;
  while (actor !== undefined && actor.machine === undefined) actor = actor.parent;
  return actor;
};

/** The name that tells an actor from its siblings: `session 3`. */
const labels = (actors: readonly ActorSeen[]): ReadonlyMap<ActorSeen, string> => {
  const seen = new Map<string, number>();
  return new Map(
    actors.map((actor) => {
      const number = (seen.get(actor.name) ?? 0) + 1;
      seen.set(actor.name, number);
      const isOnly = actors.filter(({ name }) => name === actor.name).length === 1;
      return [actor, isOnly ? spoken(actor.name) : `${spoken(actor.name)} ${number}`];
    }),
  );
};

export const ReplayView = ({ trace, isLive, atRefusal, source }: ReplayProps) => {
  const replay = useMemo(() => replayOf(trace), [trace]);
  const last = replay.entries.length - 1;
  const start = atRefusal ? (replay.refusals.at(-1) ?? last) : last;
  const chosen = useSignal(start);
  /** Whether the replay goes along with what happens. */
  const isAtEnd = useSignal(start === last);
  const follows = useSignal(true);
  const picked = useSignal<string | undefined>(undefined);
  const moment = isAtEnd.value ? last : Math.min(chosen.value, last);
  const entry = replay.entries[moment];
  const goTo = (number: number) => {
    chosen.value = Math.max(0, Math.min(last, number));
    isAtEnd.value = isLive && chosen.value === last;
  };
  const machines = machinesAt(replay, moment);
  const names = useMemo(
    () => labels([...replay.actors.values()].filter(({ machine }) => machine !== undefined)),
    [replay],
  );
  const shown =
    (follows.value ? machineBefore(replay, moment) : machines.find(({ id }) => id === picked.value)) ??
    machines[0];
  return (
    <div class="replay">
      <ReplayHead trace={trace} isLive={isLive} source={source} replay={replay} />
      <div class="replay-body">
        <section class="charts" aria-label="Statechart">
          <div class="actors">
            <div role="tablist" aria-label="Actors" class="actor-tabs" onKeyDown={walkTabs}>
              {machines.map((actor) => (
                <button
                  key={actor.id}
                  type="button"
                  role="tab"
                  aria-selected={actor === shown}
                  aria-controls="chart"
                  tabIndex={actor === shown ? 0 : -1}
                  class={livesAt(actor, entry?.at ?? 0) ? "lives" : "over"}
                  onClick={() => {
                    follows.value = false;
                    picked.value = actor.id;
                  }}
                >
                  {names.get(actor)}
                </button>
              ))}
            </div>
            <label class="switch">
              <input
                type="checkbox"
                checked={follows.value}
                onChange={({ currentTarget }) => {
                  picked.value = shown?.id;
                  follows.value = currentTarget.checked;
                }}
              />
              Follow
            </label>
          </div>
          <div
            id="chart"
            role="tabpanel"
            tabIndex={0}
            class="chart-panel"
            aria-label={shown && names.get(shown)}
          >
            {shown !== undefined && <Chart key={shown.id} replay={replay} actor={shown} moment={moment} />}
          </div>
        </section>
        <Timeline replay={replay} moment={moment} names={names} onPick={goTo} />
      </div>
      <Player replay={replay} moment={moment} isLive={isLive} isAtEnd={isAtEnd.value} goTo={goTo} />
    </div>
  );
};

/** The machine of the last step up to a moment. */
const machineBefore = ({ entries }: Replay, moment: number): ActorSeen | undefined => {
  for (let index = moment; index >= 0; index--) {
    const machine = machineOf(entries[index]);
    if (machine !== undefined) return machine;
  }
  return undefined;
};

const walkTabs = (event: KeyboardEvent & { readonly currentTarget: HTMLElement }): void => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step === undefined) return;
  const tabs = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=tab]")];
  const target =
    tabs[(tabs.indexOf(document.activeElement as HTMLElement) + step + tabs.length) % tabs.length];
  target?.focus();
  target?.click();
  event.preventDefault();
};
