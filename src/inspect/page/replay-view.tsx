/** One trace: the statecharts of its actors, its timeline, and the slider that walks through both. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Trace } from "../format.ts";
import { Chart } from "./chart.tsx";
import { allowControl, disconnect, now, request } from "./live.ts";
import { PhaseMark, stationOf } from "./phase.tsx";
import { type ActorSeen, type Entry, livesAt, machinesAt, type Replay, replayOf } from "./replay.ts";
import { Timeline } from "./timeline.tsx";
import { clock, day, duration, elapsed, spoken } from "./words.ts";

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

interface HeadProps extends Pick<ReplayProps, "trace" | "isLive" | "source"> {
  readonly replay: Replay;
}

const ReplayHead = ({ trace, isLive, source, replay }: HeadProps) => {
  const { connection: row } = trace;
  if (row === undefined) {
    return (
      <header class="replay-head">
        <div>
          <h1>Daemon</h1>
          <p class="facts">
            <span>the root of all actors and its services</span>
            <span>since {day(trace.startedAt)}</span>
          </p>
        </div>
      </header>
    );
  }
  const station = stationOf(row);
  const refusal = lastRefusal(replay);
  return (
    <header class="replay-head">
      <div class="replay-title">
        <h1>
          <PhaseMark phase={station.phase} />
          {row.username === "" ? "Nobody yet" : row.username}
          <span class="soft"> from {row.remoteAddress}</span>
        </h1>
        <p class="facts">
          <span class={`state-label phase-${station.phase}`}>{station.label}</span>
          {row.environment !== "" && <span>{row.environment}</span>}
          <span title={day(row.startedAt)}>
            {source === "file" ? day(row.startedAt) : `at ${clock(row.startedAt)}`}
          </span>
          <span>
            {isLive
              ? `for ${elapsed(now.value - row.startedAt)}`
              : `took ${duration((row.endedAt ?? 0) - row.startedAt)}`}
          </span>
          <span>
            reference <code>{row.reference}</code>
          </span>
        </p>
        {refusal !== undefined && (
          <p class="verdict">
            <code>{refusal.code}</code> {refusal.message}
          </p>
        )}
      </div>
      {source === "daemon" && <Actions id={row.id} reference={row.reference} isLive={isLive} />}
    </header>
  );
};

const lastRefusal = ({ entries, refusals }: Replay) => {
  const entry = entries[refusals.at(-1) ?? -1];
  return entry?.kind === "step" ? entry.line.refusal : undefined;
};

const Actions = ({
  id,
  reference,
  isLive,
}: {
  readonly id: string;
  readonly reference: string;
  readonly isLive: boolean;
}) => {
  const question = useRef<HTMLDialogElement>(null);
  const said = useSignal("");
  const save = async () => {
    const response = await request(`./api/connections/${id}`);
    if (!response.ok) {
      said.value = "The trace is not kept any more.";
      return;
    }
    const url = URL.createObjectURL(await response.blob());
    const anchor = document.createElement("a");
    anchor.href = url;
    anchor.download = `berth-trace-${reference}.json`;
    anchor.click();
    URL.revokeObjectURL(url);
  };
  const end = async () => {
    question.current?.close();
    said.value = (await disconnect(id)) ?? "";
  };
  return (
    <div class="actions">
      <span role="status">{said.value}</span>
      <button type="button" class="button" onClick={() => void save()}>
        Save trace
      </button>
      {allowControl.value && isLive && (
        <button type="button" class="button danger" onClick={() => question.current?.showModal()}>
          Disconnect
        </button>
      )}
      <dialog ref={question} aria-labelledby="question">
        <h2 id="question">End this connection?</h2>
        <p>Its programs are stopped, and its user reads that an administrator has ended it.</p>
        <div class="choices">
          <button type="button" class="button" onClick={() => question.current?.close()}>
            Keep it
          </button>
          <button type="button" class="button danger" onClick={() => void end()}>
            Disconnect
          </button>
        </div>
      </dialog>
    </div>
  );
};

interface PlayerProps {
  readonly replay: Replay;
  readonly moment: number;
  readonly isLive: boolean;
  readonly isAtEnd: boolean;
  readonly goTo: (number: number) => void;
}

const SHORTEST_MILLIS = 90;
const LONGEST_MILLIS = 900;

const Player = ({ replay, moment, isLive, isAtEnd, goTo }: PlayerProps) => {
  const { entries, refusals } = replay;
  const last = entries.length - 1;
  const isPlaying = useSignal(false);
  useEffect(() => {
    if (!isPlaying.value) return;
    if (moment >= last) {
      isPlaying.value = false;
      return;
    }
    const wait = (entries[moment + 1]?.at ?? 0) - (entries[moment]?.at ?? 0);
    const timer = setTimeout(
      () => goTo(moment + 1),
      Math.max(SHORTEST_MILLIS, Math.min(LONGEST_MILLIS, wait)),
    );
    return () => clearTimeout(timer);
  }, [isPlaying.value, moment]);
  const step = (label: string, path: string, number: number, isOff: boolean) => (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      disabled={isOff}
      onClick={() => {
        isPlaying.value = false;
        goTo(number);
      }}
    >
      <Icon path={path} />
    </button>
  );
  const refusal = refusals.at(-1);
  return (
    <div class="player" role="group" aria-label="Replay">
      <div class="player-buttons">
        {step("First step", "M4 3v10M13 3 6.5 8l6.5 5z", 0, moment <= 0)}
        {step("Step back", "M11.5 3 5 8l6.5 5z", moment - 1, moment <= 0)}
        <button
          type="button"
          class="icon-button play"
          aria-label={isPlaying.value ? "Pause" : "Play"}
          title={isPlaying.value ? "Pause" : "Play"}
          onClick={() => {
            if (!isPlaying.value && moment >= last) goTo(0);
            isPlaying.value = !isPlaying.value;
          }}
        >
          <Icon path={isPlaying.value ? "M5 3v10M11 3v10" : "M4.5 2.5 13 8l-8.5 5.5z"} />
        </button>
        {step("Step forward", "M4.5 3 11 8l-6.5 5z", moment + 1, moment >= last)}
        {step("Last step", "M12 3v10M3 3l6.5 5L3 13z", last, moment >= last)}
      </div>
      <input
        type="range"
        min="0"
        max={Math.max(0, last)}
        value={moment}
        aria-label="Step of the replay"
        aria-valuetext={momentWords(entries[moment], moment, entries.length)}
        onInput={({ currentTarget }) => {
          isPlaying.value = false;
          goTo(Number(currentTarget.value));
        }}
      />
      <p class="moment" aria-hidden="true">
        {momentWords(entries[moment], moment, entries.length)}
      </p>
      {refusal !== undefined && (
        <button type="button" class="button" disabled={moment === refusal} onClick={() => goTo(refusal)}>
          Go to the refusal
        </button>
      )}
      {isLive && (
        <button type="button" class="button" aria-pressed={isAtEnd} onClick={() => goTo(last)}>
          <span class="live-dot" aria-hidden="true" /> Live
        </button>
      )}
    </div>
  );
};

const Icon = ({ path }: { readonly path: string }) => (
  <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path
      d={path}
      fill="currentColor"
      stroke="currentColor"
      stroke-width="1.6"
      stroke-linejoin="round"
      stroke-linecap="round"
    />
  </svg>
);

const momentWords = (entry: Entry | undefined, moment: number, total: number): string =>
  entry === undefined ? "nothing yet" : `${moment + 1} of ${total}, ${duration(entry.at)} after the start`;
