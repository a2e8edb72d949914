/** The actor system as a tree: the daemon, its services, its connections, and the actors of the one that is opened. */
import { computed, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Row, StateValue, Trace } from "../format.ts";
import { leavesOf } from "../format.ts";
import { daemon, findRow, follow, followed, now, rows } from "./live.ts";
import { PhaseMark, type Station, stationOf, stations } from "./phase.tsx";
import { type ActorSeen, replayOf } from "./replay.ts";
import { go, type Route, replace } from "./route.ts";
import { TreeGrid, type TreeLine } from "./tree-grid.tsx";
import { count, duration, elapsed, spoken } from "./words.ts";

type Filter = Extract<Route, { view: "connections" }>;

/** The connection whose actors are shown. */
const expanded = signal<string | undefined>(undefined);

const codes = computed(() => [...new Set(rows.value.flatMap(({ code }) => code ?? []))].sort());

export const ConnectionsView = ({ filter }: { readonly filter: Filter }) => {
  const open = expanded.value;
  useEffect(() => {
    follow(open);
    return () => follow(undefined);
  }, [open]);
  const shown = rows.value.filter((row) => fits(row, filter));
  const live = shown.filter(({ endedAt }) => endedAt === undefined);
  const isFiltered = filter.state !== "" || filter.code !== "" || filter.text !== "";
  const trace = followed.value?.connection?.id === open ? followed.value : undefined;
  const actors = useMemo(() => (trace === undefined ? [] : actorLines(trace)), [trace]);
  const lines = [
    ...(isFiltered ? [] : daemonLines.value),
    ...shown.flatMap((row) => [
      connectionLine(row, row.id === open, isFiltered ? 1 : 2),
      ...(row.id === open
        ? actors.map((line) => ({ ...line, level: line.level + (isFiltered ? 1 : 2) }))
        : []),
    ]),
  ];
  return (
    <div class="connections">
      <div class="connections-head">
        <h1>Connections</h1>
        <p role="status">
          {count(live.length, "live connection")}, {(shown.length - live.length).toLocaleString()} finished
          {isFiltered && ` of ${rows.value.length.toLocaleString()}`}
        </p>
        <Filters filter={filter} isFiltered={isFiltered} />
      </div>
      <TreeGrid
        label="Daemon, services and connections"
        lines={lines}
        onToggle={({ key }) => {
          expanded.value = expanded.value === key ? undefined : key;
        }}
        onOpen={({ key, kind }) => {
          if (kind === "connection")
            go({ view: "connection", id: key, atRefusal: findRow(key)?.code !== undefined });
          else if (kind === "daemon") go({ view: "daemon" });
          else if (open !== undefined) go({ view: "connection", id: open, atRefusal: false });
        }}
        empty={isFiltered ? "No connection fits the filter." : "Nobody has connected yet."}
      />
    </div>
  );
};

const fits = (row: Row, { state, code, text }: Filter): boolean => {
  if (code !== "" && row.code !== code) return false;
  if (state === "live" && row.endedAt !== undefined) return false;
  if (state === "finished" && row.endedAt === undefined) return false;
  if (state === "refused" && (row.endedAt === undefined || stationOf(row).phase !== "refusing")) return false;
  const isStation = state !== "" && !["live", "finished", "refused"].includes(state);
  if (isStation && (row.endedAt !== undefined || stationOf(row).state !== state)) return false;
  const wanted = text.trim().toLowerCase();
  return (
    wanted === "" ||
    row.username.toLowerCase().includes(wanted) ||
    row.remoteAddress.includes(wanted) ||
    row.id.startsWith(wanted) ||
    row.environment.toLowerCase().includes(wanted)
  );
};

const Filters = ({ filter, isFiltered }: { readonly filter: Filter; readonly isFiltered: boolean }) => {
  const change = (part: Partial<Filter>) => replace({ ...filter, ...part });
  return (
    <form class="filters" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
      <label>
        <span>User or address</span>
        <input
          type="text"
          value={filter.text}
          spellcheck={false}
          autocomplete="off"
          onInput={({ currentTarget }) => change({ text: currentTarget.value })}
        />
      </label>
      <label>
        <span>State</span>
        <select value={filter.state} onChange={({ currentTarget }) => change({ state: currentTarget.value })}>
          <option value="">Any</option>
          <option value="live">Live</option>
          {stations.map(({ state, label }) => (
            <option key={state} value={state}>
              {label}
            </option>
          ))}
          <option value="finished">Finished</option>
          <option value="refused">Refused</option>
        </select>
      </label>
      <label>
        <span>Message code</span>
        <select value={filter.code} onChange={({ currentTarget }) => change({ code: currentTarget.value })}>
          <option value="">Any</option>
          {[...new Set([...codes.value, ...(filter.code === "" ? [] : [filter.code])])].map((code) => (
            <option key={code} value={code}>
              {code}
            </option>
          ))}
        </select>
      </label>
      <button
        type="button"
        class="plain"
        disabled={!isFiltered}
        onClick={() => change({ text: "", state: "", code: "" })}
      >
        Clear
      </button>
    </form>
  );
};

const connectionLine = (row: Row, isExpanded: boolean, level: number): TreeLine => {
  const station = stationOf(row);
  return {
    key: row.id,
    kind: "connection",
    level,
    isExpanded,
    isDim: row.endedAt !== undefined,
    cells: () => ({
      name: (
        <>
          <PhaseMark phase={station.phase} />
          <span class="who">{row.username === "" ? <i>nobody yet</i> : row.username}</span>
        </>
      ),
      from: row.remoteAddress,
      state: <StateWords row={row} station={station} />,
      where: row.environment || row.backend,
      age:
        row.endedAt === undefined
          ? elapsed(now.value - row.startedAt)
          : `${elapsed(now.value - row.endedAt)} ago`,
      code: row.code ?? "",
      reference: row.reference,
    }),
  };
};

const StateWords = ({ row, station }: { readonly row: Row; readonly station: Station }) => (
  <>
    <span class={`state-label phase-${station.phase}`}>{station.label}</span>
    <span class="soft">
      {row.endedAt !== undefined
        ? `after ${duration(row.endedAt - row.startedAt)}`
        : row.detail !== ""
          ? spoken(row.detail.replace(": ", " "))
          : row.sessions > 0
            ? count(row.sessions, "session")
            : ""}
    </span>
  </>
);

/** The actors of a trace with where they stand now; sources only while somebody waits for them. */
const actorLines = (trace: Trace): readonly TreeLine[] => {
  const { roots, entries } = replayOf(trace);
  const values = new Map<ActorSeen, StateValue>();
  for (const entry of entries) if (entry.kind === "step" && entry.actor) values.set(entry.actor, entry.after);
  const lineOf = (actor: ActorSeen, level: number): readonly TreeLine[] => {
    if (actor.machine === undefined && actor.endedAt !== undefined) return [];
    const value = values.get(actor);
    const line: TreeLine = {
      key: actor.id,
      kind: "actor",
      level,
      isDim: actor.endedAt !== undefined,
      cells: () => ({
        name: <span class="who">{spoken(actor.name)}</span>,
        state:
          value === undefined
            ? "at work"
            : leavesOf(value)
                .map((leaf) => spoken(leaf))
                .join(", "),
      }),
    };
    return [line, ...actor.children.flatMap((child) => lineOf(child, level + 1))];
  };
  return roots.flatMap((root) => root.children.flatMap((child) => lineOf(child, 1)));
};

const daemonLines = computed<readonly TreeLine[]>(() => {
  if (daemon.value === undefined) return [];
  const names = new Map<string, string>();
  const values = new Map<string, StateValue>();
  for (const line of daemon.value.lines) {
    if (line.type === "actor" && line.machine !== undefined) names.set(line.actor, line.name);
    if (line.type === "step") values.set(line.actor, line.moves.at(-1)?.value ?? "");
  }
  return [...values].map(([actor, value], index) => ({
    key: actor,
    kind: "daemon" as const,
    level: index === 0 ? 1 : 2,
    cells: () => ({
      name: <span class="who">{index === 0 ? "daemon" : spoken(names.get(actor) ?? "service")}</span>,
      state: leavesOf(value)
        .map((leaf) => spoken(leaf))
        .join(", "),
    }),
  }));
});
