/** What stands above a trace: whose connection it is, how it went, and what may be done with it. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Trace } from "../format.ts";
import { allowControl, disconnect, now, request } from "./live.ts";
import { PhaseMark, stationOf } from "./phase.tsx";
import type { Replay } from "./replay.ts";
import { clock, day, duration, elapsed } from "./words.ts";

export interface ReplayHeadProps {
  readonly trace: Trace;
  readonly isLive: boolean;
  readonly source: "daemon" | "file";
  readonly replay: Replay;
}

export const ReplayHead = ({ trace, isLive, source, replay }: ReplayHeadProps) => {
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
