/** Turns the Engine's many messages about a pull into a few lines for people who wait for it. */

/** One message (Docker Engine API, ImageCreate). */
export interface PullStatus {
  readonly status?: string;
  /** The layer it is about. */
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly error?: string;
}

interface Layer {
  done: boolean;
  current: number;
  total: number;
}

/** Lines come at most this often. */
const LINE_MILLIS = 1000;

const FINISHED = new Set(["Pull complete", "Already exists"]);

export class PullProgress {
  readonly #say: (line: string) => void;
  readonly #now: () => number;
  readonly #layers = new Map<string, Layer>();
  #lastLine = "";
  #lastLineAt = Number.NEGATIVE_INFINITY;

  /** `now` is in milliseconds. */
  constructor(say: (line: string) => void, now: () => number = () => performance.now()) {
    this.#say = say;
    this.#now = now;
  }

  add({ status = "", id, progressDetail }: PullStatus): void {
    if (id === undefined || status.startsWith("Pulling from")) return;
    const layer = this.#layers.get(id) ?? { done: false, current: 0, total: 0 };
    this.#layers.set(id, layer);
    if (FINISHED.has(status)) layer.done = true;
    if (status === "Downloading" && progressDetail?.total !== undefined) {
      layer.current = progressDetail.current ?? 0;
      layer.total = progressDetail.total;
    }
    if (status === "Download complete" || layer.done) layer.current = layer.total;
    this.#tell();
  }

  #tell(): void {
    const now = this.#now();
    if (now - this.#lastLineAt < LINE_MILLIS) return;
    const layers = [...this.#layers.values()];
    const done = layers.filter((layer) => layer.done).length;
    const current = layers.reduce((sum, layer) => sum + layer.current, 0);
    const total = layers.reduce((sum, layer) => sum + layer.total, 0);
    const bytes = total === 0 ? "" : `, ${megabytes(current)} of ${megabytes(total)} MB`;
    const line = `Fetching your environment: ${done} of ${layers.length} layers${bytes}`;
    if (line === this.#lastLine) return;
    this.#lastLine = line;
    this.#lastLineAt = now;
    this.#say(line);
  }
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
