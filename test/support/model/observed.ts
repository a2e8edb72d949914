/** What the machines of a running daemon do, step by step, as test/support/model/observer.mjs writes it down. */
import { randomUUID } from "node:crypto";
import { closeSync, type FSWatcher, mkdirSync, openSync, readSync, watch } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Configuration, type Daemon, type DaemonOptions, startDaemon } from "../daemon.ts";
import { type InspectorClient, inspectSection, openInspector } from "../inspector.ts";
import { PATIENCE_SECONDS } from "../patience.ts";
import { projectRoot } from "../root.ts";
import { within } from "../transcript.ts";

/** One microstep of one actor. */
export interface Step {
  /** The machine's XState id. */
  readonly machine: string;
  /** XState's session id of the actor. */
  readonly actor: string;
  /** The connection that the actor is or belongs to. */
  readonly connection?: string;
  readonly event: string;
  readonly transitions: readonly string[];
  /** The active states, by id, after it. */
  readonly states: readonly string[];
  readonly status: "active" | "done" | "error" | "stopped";
}

/** Where the steps of all daemons of a test run are kept: what `npm run coverage:models` counts. */
export const STEPS_FOLDER = join(projectRoot, ".run/model/steps");
const OBSERVER = pathToFileURL(join(projectRoot, "test/support/model/observer.mjs")).href;

export class Observed implements Disposable {
  readonly steps: Step[] = [];
  /** What the daemon has to be started with. */
  readonly env: Readonly<Record<string, string>>;
  readonly #fd: number;
  readonly #watcher: FSWatcher;
  readonly #watchers = new Set<() => void>();
  #rest = "";

  constructor() {
    mkdirSync(STEPS_FOLDER, { recursive: true });
    const file = join(STEPS_FOLDER, `${randomUUID()}.jsonl`);
    this.#fd = openSync(file, "a+");
    this.env = { NODE_OPTIONS: `--import=${OBSERVER}`, BERTH_MODEL_STEPS: file };
    this.#watcher = watch(file, () => this.#read());
  }

  /** How many steps there are by now. */
  count(): number {
    this.#read();
    return this.steps.length;
  }

  /** What an actor has done by now. */
  stepsOf(actor: string): readonly Step[] {
    this.#read();
    return this.steps.filter((step) => step.actor === actor);
  }

  /** The first step from `from` on that is as wanted; waits for it. */
  async waitFor(
    wanted: (step: Step) => boolean,
    what: string,
    from = 0,
    withinSeconds = PATIENCE_SECONDS,
  ): Promise<number> {
    const find = () => this.steps.findIndex((step, index) => index >= from && wanted(step));
    const found = new Promise<number>((resolve) => {
      const look = () => {
        const index = find();
        if (index === -1) return;
        this.#watchers.delete(look);
        resolve(index);
      };
      this.#watchers.add(look);
      this.#read();
      look();
    });
    return await within(withinSeconds, found, () => `no step came: ${what}; there were:\n${this.tell(from)}`);
  }

  /** The last steps, for people. */
  tell(from = 0): string {
    this.#read();
    return this.steps
      .slice(from)
      .slice(-60)
      .map(({ machine, event, transitions, states }) =>
        [machine, event, transitions.join(" + ") || "-", states.at(-1)].join("  "),
      )
      .join("\n");
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    closeSync(this.#fd);
  }

  #read(): void {
    const chunk = Buffer.alloc(65_536);
    for (let size = 1; size > 0; ) {
      size = readSync(this.#fd, chunk);
      this.#rest += chunk.toString("utf8", 0, size);
    }
    const lines = this.#rest.split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.steps.push(JSON.parse(line) as Step);
    if (lines.length > 0) for (const watcher of [...this.#watchers]) watcher();
  }
}

export interface ObservedDaemon extends Daemon {
  readonly observed: Observed;
  /** Waits until it listens. */
  readonly inspector: () => Promise<InspectorClient>;
}

/** The built daemon with an inspector, watched from its first step on. */
export const startObserved = async (options: DaemonOptions): Promise<ObservedDaemon> => {
  const observed = new Observed();
  const inspect = inspectSection(options.config.inspect as Configuration | undefined);
  try {
    const daemon = await startDaemon({
      ...options,
      config: { ...options.config, inspect },
      env: { ...observed.env, ...options.env },
    });
    let inspector: Promise<InspectorClient> | undefined;
    return {
      ...daemon,
      observed,
      inspector: () => {
        inspector ??= openInspector(daemon, "cert" in inspect ? "https" : "http");
        return inspector;
      },
      [Symbol.asyncDispose]: async () => {
        await daemon[Symbol.asyncDispose]();
        observed[Symbol.dispose]();
      },
    };
  } catch (error) {
    observed[Symbol.dispose]();
    throw error;
  }
};
