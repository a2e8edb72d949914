/** Everything that happened, in order: events with the states they led through, answers of sources, log lines. */
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { leavesOf, type StateValue } from "../format.ts";
import type { ActorSeen, Entry, Replay } from "./replay.ts";
import { duration, eventWords, fieldWords, spoken } from "./words.ts";

export interface TimelineProps {
  readonly replay: Replay;
  readonly moment: number;
  readonly names: ReadonlyMap<ActorSeen, string>;
  readonly onPick: (number: number) => void;
}

export const Timeline = ({ replay, moment, names, onPick }: TimelineProps) => {
  const list = useRef<HTMLDivElement>(null);
  const { entries, refusals, trace } = replay;
  const lines = useMemo(
    () =>
      entries.map((entry, number) => (
        <Line
          key={number}
          entry={entry}
          number={number}
          isRefusal={refusals.includes(number)}
          names={names}
        />
      )),
    [entries],
  );
  const marked = useRef<Element | null>(null);
  useLayoutEffect(() => {
    const element = list.current;
    if (element === null) return;
    const current = element.querySelector(`#entry-${moment}`);
    if (marked.current !== current) marked.current?.setAttribute("aria-selected", "false");
    current?.setAttribute("aria-selected", "true");
    marked.current = current;
    for (const [number, each] of [...element.children].entries())
      each.classList.toggle("later", number > moment);
  }, [moment, entries]);
  useEffect(() => {
    const element = list.current;
    const current = marked.current;
    if (element === null || current === null) return;
    const around = element.getBoundingClientRect();
    const box = current.getBoundingClientRect();
    if (box.top < around.top + 24) element.scrollTop += box.top - around.top - 60;
    else if (box.bottom > around.bottom - 24) element.scrollTop += box.bottom - around.bottom + 60;
  }, [moment, entries]);
  const pressed = (event: KeyboardEvent) => {
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: moment + 1,
      ArrowUp: moment - 1,
      PageDown: moment + 10,
      PageUp: moment - 10,
      Home: 0,
      End: entries.length - 1,
    };
    const target = moves[event.key];
    if (target === undefined) return;
    event.preventDefault();
    onPick(target);
  };
  return (
    <section class="timeline" aria-labelledby="timeline-title">
      <div class="timeline-head">
        <h2 id="timeline-title">Timeline</h2>
        {trace.dropped > 0 && <p class="soft">{trace.dropped} lines were left out of the middle</p>}
      </div>
      <div
        ref={list}
        class="timeline-list"
        role="listbox"
        aria-label="Timeline"
        tabIndex={0}
        aria-activedescendant={entries.length > 0 ? `entry-${moment}` : undefined}
        onKeyDown={pressed}
        onClick={({ target }) => {
          const line = target instanceof Element ? target.closest("[data-number]") : null;
          if (line !== null) onPick(Number(line.getAttribute("data-number")));
        }}
      >
        {lines}
      </div>
    </section>
  );
};

interface LineProps {
  readonly entry: Entry;
  readonly number: number;
  readonly isRefusal: boolean;
  readonly names: ReadonlyMap<ActorSeen, string>;
}

const Line = ({ entry, number, isRefusal, names }: LineProps) => (
  <div
    id={`entry-${number}`}
    data-number={number}
    role="option"
    tabIndex={-1}
    aria-selected="false"
    class={`entry entry-${entry.kind}${isRefusal ? " refusal" : ""}${entry.kind === "log" ? ` level-${entry.line.level}` : ""}`}
  >
    <time>{duration(entry.at)}</time>
    <span class="rail" aria-hidden="true" />
    <div class="entry-text">
      <EntryText entry={entry} names={names} />
    </div>
  </div>
);

const EntryText = ({ entry, names }: Pick<LineProps, "entry" | "names">) => {
  switch (entry.kind) {
    case "step": {
      const { line, before, spent, actor } = entry;
      const { type: _, code, ...rest } = line.event;
      // The reason below has it.
      const fields = code === undefined || line.refusal !== undefined ? rest : { ...rest, code };
      const words = fieldWords(fields);
      const way = wayOf(
        before,
        line.moves.map(({ value }) => value),
      );
      return (
        <>
          <p class="entry-title">
            <b>{(actor && (names.get(actor) ?? spoken(actor.name))) ?? ""}</b> {eventWords(line.event.type)}
          </p>
          {way !== "" && (
            <p class="way">
              {way}
              {spent !== undefined && spent >= 1 && <span class="spent">{duration(spent)}</span>}
            </p>
          )}
          {words !== "" && <p class="soft fields">{words}</p>}
          {line.refusal !== undefined && (
            <p class="reason">
              <code>{line.refusal.code}</code> {line.refusal.message}
              {line.told && line.refusal.userMessage !== "" && (
                <q title="What the user read">{line.refusal.userMessage}</q>
              )}
            </p>
          )}
        </>
      );
    }
    case "source": {
      const { source, actor } = entry;
      const took = source.endedAt === undefined ? undefined : source.endedAt - source.startedAt;
      return (
        <p class="entry-title soft">
          {actor !== undefined && <b>{names.get(actor) ?? spoken(actor.name)}</b>} asks: {spoken(source.name)}
          {took !== undefined && (
            <span class="spent">
              {source.status === "error"
                ? "failed after "
                : source.status === "stopped"
                  ? "stopped after "
                  : ""}
              {duration(took)}
            </span>
          )}
        </p>
      );
    }
    case "log": {
      const { code, level, message, details } = entry.line;
      const words = fieldWords(details);
      return (
        <>
          <p class="entry-title">
            <code>{code}</code>
            <span class="level">{level}</span>
          </p>
          <p class="log-message">{message}</p>
          {words !== "" && <p class="soft fields">{words}</p>}
        </>
      );
    }
    case "crash":
      return (
        <p class="entry-title">
          <b>{(entry.actor && (names.get(entry.actor) ?? spoken(entry.actor.name))) ?? ""}</b> has crashed: an
          error in Berth
        </p>
      );
  }
};

/** The states that were passed, with an arrow between; nothing where none changed. */
const wayOf = (before: StateValue | undefined, values: readonly StateValue[]): string => {
  const all = [...(before === undefined ? [] : [before]), ...values].map((value) =>
    leavesOf(value)
      .map((leaf) => spoken(leaf.split(".").at(-1) ?? ""))
      .join(", "),
  );
  const way = all.filter((words, index) => words !== all[index - 1]);
  return way.length > 1 || before === undefined ? way.join(" → ") : "";
};
