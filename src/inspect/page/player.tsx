/** Walks through a trace: step by step, by the slider, or as it went, with long waits cut short. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Entry, Replay } from "./replay.ts";
import { duration } from "./words.ts";

export interface PlayerProps {
  readonly replay: Replay;
  readonly moment: number;
  readonly isLive: boolean;
  readonly isAtEnd: boolean;
  readonly goTo: (number: number) => void;
}

const SHORTEST_MILLIS = 90;
const LONGEST_MILLIS = 900;

export const Player = ({ replay, moment, isLive, isAtEnd, goTo }: PlayerProps) => {
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
