/** How things are: where connections stand, logins and refusals by the minute, why people are refused, what is slow. */
import type { Minute, RefusalCount, Row, StateTime, Statistics } from "../format.ts";
import { liveRows, now, statistics, version } from "./live.ts";
import { PhaseMark, stationOf, stations } from "./phase.tsx";
import { linkTo } from "./route.ts";
import { count, duration, elapsed, minute, spoken } from "./words.ts";

export const Overview = () => {
  const figures = statistics.value;
  if (figures === undefined) return null;
  return (
    <div class="overview">
      <h1 class="hidden">Overview</h1>
      <Tiles figures={figures} live={liveRows.value} />
      <Stations live={liveRows.value} />
      <Traffic figures={figures} />
      <Refusals refusals={figures.refusalsByCode} />
      <Slowest states={figures.slowest} />
    </div>
  );
};

const Tiles = ({ figures, live }: { readonly figures: Statistics; readonly live: readonly Row[] }) => {
  const lastMinutes = figures.minutes.filter(({ startedAt }) => startedAt > now.value - 3_600_000);
  const sum = (key: "logins" | "refusals") => lastMinutes.reduce((total, each) => total + each[key], 0);
  const [logins, refusals] = [sum("logins"), sum("refusals")];
  const share = logins + refusals === 0 ? undefined : Math.round((100 * refusals) / (logins + refusals));
  const sessions = live.reduce((total, row) => total + row.sessions, 0);
  return (
    <dl class="tiles">
      <Tile label="Connections now" value={live.length} note={count(sessions, "open session")} />
      <Tile
        label="Logins, last hour"
        value={logins}
        note={`${figures.logins.toLocaleString()} since the start`}
      />
      <Tile
        label="Refusals, last hour"
        value={refusals}
        note={share === undefined ? "nobody has tried to log in" : `${share}% of all that were decided`}
      />
      <Tile
        label="Running for"
        value={elapsed(now.value - figures.startedAt)}
        note={`Berth ${version.value}`}
      />
    </dl>
  );
};

const Tile = ({
  label,
  value,
  note,
}: {
  readonly label: string;
  readonly value: number | string;
  readonly note: string;
}) => (
  <div class="tile">
    <dt>{label}</dt>
    <dd>
      <strong>{typeof value === "number" ? value.toLocaleString() : value}</strong>
      <span>{note}</span>
    </dd>
  </div>
);

const Stations = ({ live }: { readonly live: readonly Row[] }) => {
  const numbers = new Map<string, number>();
  for (const row of live) {
    const { state } = stationOf(row);
    numbers.set(state, (numbers.get(state) ?? 0) + 1);
  }
  return (
    <section class="card stations-card" aria-labelledby="stations-title">
      <h2 id="stations-title">Where connections are</h2>
      <ol class="stations">
        {stations.map(({ state, label, phase }) => {
          const number = numbers.get(state) ?? 0;
          return (
            <li key={state} class={`phase-${phase}${number === 0 ? " empty" : ""}`}>
              <a href={linkTo({ view: "connections", state, code: "", text: "" })}>
                <span class="station-label">
                  <PhaseMark phase={phase} /> {label}
                </span>
                <strong>{number.toLocaleString()}</strong>
              </a>
            </li>
          );
        })}
      </ol>
    </section>
  );
};

const MINUTE = 60_000;
const MINUTES = 60;
const HEIGHT = 100;

const Traffic = ({ figures }: { readonly figures: Statistics }) => {
  const last = Math.floor(now.value / MINUTE) * MINUTE;
  const known = new Map(figures.minutes.map((each) => [each.startedAt, each]));
  const minutes = Array.from({ length: MINUTES }, (_, index): Minute => {
    const startedAt = last - (MINUTES - 1 - index) * MINUTE;
    return known.get(startedAt) ?? { startedAt, logins: 0, refusals: 0 };
  });
  const most = Math.max(4, ...minutes.flatMap(({ logins, refusals }) => [logins, refusals]));
  const bar = (number: number) => (number === 0 ? 0 : Math.max(3, (number / most) * HEIGHT));
  const busy = minutes.filter(({ logins, refusals }) => logins + refusals > 0);
  return (
    <section class="card traffic" aria-labelledby="traffic-title">
      <div class="card-head">
        <h2 id="traffic-title">Logins and refusals per minute</h2>
        <p class="legend" aria-hidden="true">
          <span class="key key-logins" /> logins, upwards
          <span class="key key-refusals" /> refusals, downwards
        </p>
      </div>
      <div class="plot" aria-hidden="true">
        <span class="scale scale-top">{most}</span>
        <span class="scale scale-middle">0</span>
        <span class="scale scale-bottom">{most}</span>
        <svg viewBox={`0 0 ${MINUTES * 10} ${HEIGHT * 2 + 2}`} preserveAspectRatio="none" aria-hidden="true">
          <defs>
            <pattern
              id="hatch"
              width="4"
              height="4"
              patternUnits="userSpaceOnUse"
              patternTransform="rotate(45)"
            >
              <rect class="hatch-ground" width="4" height="4" />
              <rect class="hatch-line" width="1.6" height="4" />
            </pattern>
          </defs>
          <line class="grid" x1="0" x2={MINUTES * 10} y1={HEIGHT / 2} y2={HEIGHT / 2} />
          <line class="grid" x1="0" x2={MINUTES * 10} y1={HEIGHT * 1.5 + 2} y2={HEIGHT * 1.5 + 2} />
          {minutes.map(({ startedAt, logins, refusals }, index) => (
            <g key={startedAt}>
              <title>{`${minute(startedAt)}: ${count(logins, "login")}, ${count(refusals, "refusal")}`}</title>
              <rect class="hover" x={index * 10} y="0" width="10" height={HEIGHT * 2 + 2} />
              <rect
                class="bar-logins"
                x={index * 10 + 1.5}
                y={HEIGHT - bar(logins)}
                width="7"
                height={bar(logins)}
              />
              <rect
                class="bar-refusals"
                x={index * 10 + 1.5}
                y={HEIGHT + 2}
                width="7"
                height={bar(refusals)}
              />
            </g>
          ))}
          <line class="axis" x1="0" x2={MINUTES * 10} y1={HEIGHT + 1} y2={HEIGHT + 1} />
        </svg>
        <div class="times">
          <span>{minute(last - (MINUTES - 1) * MINUTE)}</span>
          <span>{minute(last - (MINUTES / 2) * MINUTE)}</span>
          <span>now</span>
        </div>
      </div>
      <table class="hidden">
        <caption>Logins and refusals per minute in the last hour</caption>
        <thead>
          <tr>
            <th>Minute</th>
            <th>Logins</th>
            <th>Refusals</th>
          </tr>
        </thead>
        <tbody>
          {busy.map(({ startedAt, logins, refusals }) => (
            <tr key={startedAt}>
              <th>{minute(startedAt)}</th>
              <td>{logins}</td>
              <td>{refusals}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
};

const Refusals = ({ refusals }: { readonly refusals: readonly RefusalCount[] }) => {
  const most = Math.max(1, ...refusals.map((each) => each.count));
  return (
    <section class="card" aria-labelledby="refusals-title">
      <h2 id="refusals-title">Refusals by message code</h2>
      {refusals.length === 0 ? (
        <p class="empty-note">Nobody has been refused since the start.</p>
      ) : (
        <ul class="measures">
          {refusals.slice(0, 8).map(({ code, count: number, lastAt, message, reference }) => (
            <li key={code}>
              <div class="measure-head">
                <a href={linkTo({ view: "connections", state: "", code, text: "" })}>
                  <code>{code}</code>
                </a>
                <strong>{number.toLocaleString()}</strong>
              </div>
              <Meter share={number / most} kind="refusals" />
              <p>
                {message}
                <span class="soft">
                  {" "}
                  {elapsed(now.value - lastAt)} ago
                  {reference !== "" && (
                    <>
                      {", "}
                      <a href={linkTo({ view: "connection", id: reference, atRefusal: true })}>
                        replay {reference}
                      </a>
                    </>
                  )}
                </span>
              </p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
};

const Slowest = ({ states }: { readonly states: readonly StateTime[] }) => {
  const most = Math.max(1, ...states.map((each) => each.p95Millis));
  return (
    <section class="card" aria-labelledby="slowest-title">
      <h2 id="slowest-title">Slowest states</h2>
      {states.length === 0 ? (
        <p class="empty-note">Nothing has been waited for yet.</p>
      ) : (
        <table class="slowest">
          <thead>
            <tr>
              <th scope="col">Waiting for an answer while</th>
              <th scope="col" class="number" title="95 of 100 took at most this long">
                95%
              </th>
              <th scope="col" class="number">
                mean
              </th>
              <th scope="col" class="number">
                times
              </th>
            </tr>
          </thead>
          <tbody>
            {states.slice(0, 8).map(({ state, p95Millis, meanMillis, count: times }) => {
              const [machine = "", ...path] = state.split(".");
              return (
                <tr key={state}>
                  <th scope="row">
                    <span class="soft">{spoken(machine)}</span> {spoken(path.at(-1) ?? "")}
                    <Meter share={p95Millis / most} kind="time" />
                  </th>
                  <td class="number">{duration(p95Millis)}</td>
                  <td class="number">{duration(meanMillis)}</td>
                  <td class="number">{times.toLocaleString()}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
};

const Meter = ({ share, kind }: { readonly share: number; readonly kind: string }) => (
  <span class={`meter meter-${kind}`} aria-hidden="true">
    <span style={{ width: `${Math.max(1.5, share * 100)}%` }} />
  </span>
);
