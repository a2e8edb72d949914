/**
 * Starts a program in a running container by exec: through the container's shell (`launcher.ts`), through the guest
 * agent where there is no shell, directly where there is neither. What an image lacks is remembered.
 */
import { randomBytes } from "node:crypto";
import { Effect, type Scope } from "effect";
import type { Terminal } from "../../../machines/facts.ts";
import type { KubernetesPod, KubernetesTimeouts } from "../../config/sections/kubernetes.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { sttyModes } from "../process/modes.ts";
import { AgentPid } from "./agent.ts";
import type { Channels, ChannelsEnd, OutputFilters } from "./channels.ts";
import type { Cluster, ContainerAddress } from "./cluster.ts";
import { podNames } from "./ending.ts";
import { ExitLost, ProgramNotStarted } from "./failures.ts";
import { FramedInput, type ProgramInput, rawInput } from "./input.ts";
import { Announcement, Asides, isNameable, launchCommand, launchOrders } from "./launcher.ts";

/** A container as programs are started in it. */
export interface ProgramHost {
  readonly cluster: Cluster;
  readonly address: ContainerAddress;
  /** What is learned about the image is remembered under this. */
  readonly imageId: string;
  readonly pod: KubernetesPod;
  readonly timeouts: KubernetesTimeouts;
  readonly logger: Logger;
}

export interface LaunchRequest {
  readonly command: Command;
  readonly environment: Readonly<Record<string, string>>;
  readonly terminal: Terminal | undefined;
}

export interface Command {
  /** With the container's shell at hand. */
  readonly words: readonly string[];
  /** Without one; undefined when it takes a shell to read the command. */
  readonly plain: readonly string[] | undefined;
}

/** How a running program is reached from the side. */
export interface Handle {
  readonly pid: number;
  /** 0 when there is no shell to signal a group with. */
  readonly group: number;
  readonly shell: boolean;
  readonly agent: boolean;
}

export interface Launched {
  readonly channels: Channels;
  /** How the program ended; behind its last output. */
  readonly ended: Promise<ChannelsEnd>;
  readonly input: ProgramInput;
  /** Missing for a program of which nothing is known. */
  readonly handle: Handle | undefined;
}

/** What should have started the program is not in the image. */
export interface Missing {
  readonly missing: string;
}

/** One way to start a program: a command line, and how to come from there to the program. */
export interface Launcher {
  readonly command: readonly string[];
  readonly filters: OutputFilters;
  readonly begin: (channels: Channels) => Effect.Effect<Launched | Missing, Failure>;
  /** Remembers that the image can't do this. */
  readonly giveUp: (missing: Missing) => void;
}

/** Starts a program by exec, in the first way that the image knows. */
export const launch = (
  host: ProgramHost,
  request: LaunchRequest,
): Effect.Effect<Launched, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    for (;;) {
      const launcher = yield* launcherFor(host, request, false);
      const { cluster, address, timeouts } = host;
      const channels = yield* cluster.stream({
        container: address,
        command: launcher.command,
        stdin: true,
        terminal: request.terminal !== undefined,
        timeout: timeouts.commandStart,
        filters: launcher.filters,
      });
      const launched = yield* launcher.begin(channels);
      if ("channels" in launched) return launched;
      launcher.giveUp(launched);
    }
  });

/** The best way that the image is not known to lack. `waits`: the program starts only once somebody is attached. */
export const launcherFor = (
  host: ProgramHost,
  request: LaunchRequest,
  waits: boolean,
): Effect.Effect<Launcher, ProgramNotStarted> => {
  const { lacks } = host.cluster;
  if (!lacks.shell.has(host.imageId)) return Effect.succeed(shellLauncher(host, request));
  const { plain } = request.command;
  if (plain === undefined)
    return Effect.fail(
      notStarted(request, "the image has no shell to read the command", { image: host.imageId }),
    );
  return Effect.succeed(
    host.pod.disableAgent || lacks.agent.has(host.imageId)
      ? bareLauncher(request, plain)
      : agentLauncher(host, request, plain, waits),
  );
};

const shellLauncher = (host: ProgramHost, request: LaunchRequest): Launcher => {
  const { terminal, environment, command } = request;
  const { cluster, pod, imageId, logger } = host;
  const nonce = randomBytes(8).toString("hex");
  const announcement = new Announcement(nonce);
  const asides = new Asides(nonce);
  return {
    command: launchCommand(
      nonce,
      terminalSettings(terminal),
      pod.disableAgent ? "" : pod.agentPath,
      command.words,
    ),
    filters: terminal === undefined ? { stdout: announcement, stderr: asides } : { stdout: announcement },
    begin: (channels) =>
      Effect.gen(function* () {
        resize(channels, terminal);
        const framed = terminal === undefined && !channels.closesInput;
        channels.write(launchOrders(environment, framed), () => undefined);
        const unnameable = Object.keys(environment).filter((name) => !isNameable(name));
        if (unnameable.length > 0) {
          logger.debug("KUBERNETES_EXEC", "Variables were left out: no shell can hold their names", {
            names: unnameable.join(" "),
          });
        }
        const started = yield* inTime(host, request, announcement.made);
        if (started === undefined) return yield* whyNot(host, channels, request, announcement.unread);
        const { pid, group, agent, input } = started;
        if (!agent) noteMissingAgent(host);
        const handle: Handle = { pid, group, agent, shell: true };
        return input === "raw"
          ? { channels, ended: channels.ended, input: rawInput(channels), handle }
          : {
              channels,
              ended: endAfter(channels, asides),
              input: new FramedInput(channels, asides),
              handle,
            };
      }),
    giveUp: ({ missing }) => {
      cluster.lacks.shell.add(imageId);
      logger.notice("KUBERNETES_SHELL_MISSING", "The image has no /bin/sh; going on without", {
        image: imageId,
        answer: missing,
      });
    },
  };
};

/** How long output may take that is behind the program's end: what it left running may hold it open for ever. */
const LAST_OUTPUT_MILLIS = 3000;

/** The end of framed input's script. A status that the server loses is the one that the script told. */
const endAfter = async (channels: Channels, asides: Asides): Promise<ChannelsEnd> => {
  void asides.status.then((status) => {
    if (status === undefined) return;
    const patience = setInterval(() => {
      if (!channels.isPaused) channels.close();
    }, LAST_OUTPUT_MILLIS);
    void channels.ended.then(() => clearInterval(patience));
  });
  const end = await channels.ended;
  const status = await asides.status;
  return end.kind !== "exited" && status !== undefined ? { kind: "exited", status } : end;
};

/** Once for each image. */
const noteMissingAgent = ({ cluster: { lacks }, imageId, pod, logger }: ProgramHost): void => {
  if (pod.disableAgent || lacks.agent.has(imageId)) return;
  lacks.agent.add(imageId);
  logger.notice("KUBERNETES_AGENT_FAILED", "The image has no guest agent; its shell does what is needed", {
    image: imageId,
    agentPath: pod.agentPath,
  });
};

const agentLauncher = (
  host: ProgramHost,
  request: LaunchRequest,
  plain: readonly string[],
  waits: boolean,
): Launcher => {
  const { environment, terminal } = request;
  const { cluster, pod, imageId, logger } = host;
  const variables = Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
  const preface = new AgentPid({ terminal: terminal !== undefined, waits });
  return {
    command: [pod.agentPath, "console", ...(waits ? ["--wait"] : []), "--pid", ...variables, "--", ...plain],
    filters: { stdout: preface },
    begin: (channels) =>
      Effect.gen(function* () {
        resize(channels, terminal);
        if (waits) channels.write(Buffer.from(terminal === undefined ? "\0" : "\n"), () => undefined);
        const pid = yield* inTime(host, request, preface.made);
        if (pid === undefined) return yield* whyNot(host, channels, request, preface.unread);
        logger.debug("KUBERNETES_PID_RECEIVED", "The guest agent told the process ID", { pid });
        return {
          channels,
          ended: channels.ended,
          input: rawInput(channels),
          handle: { pid, group: 0, agent: true, shell: false },
        };
      }),
    giveUp: ({ missing }) => {
      cluster.lacks.agent.add(imageId);
      logger.notice("KUBERNETES_AGENT_FAILED", "The image has no guest agent; going on without", {
        image: imageId,
        agentPath: pod.agentPath,
        answer: missing,
      });
    },
  };
};

/** Nothing tells whether the program has started: it has, unless its end says something else. */
const bareLauncher = ({ terminal }: LaunchRequest, plain: readonly string[]): Launcher => ({
  command: plain,
  filters: {},
  begin: (channels) =>
    Effect.sync(() => {
      resize(channels, terminal);
      return { channels, ended: channels.ended, input: rawInput(channels), handle: undefined };
    }),
  giveUp: () => undefined,
});

const resize = (channels: Channels, terminal: Terminal | undefined): void => {
  if (terminal !== undefined && terminal.columns > 0) channels.resize(terminal, () => undefined);
};

const inTime = <A>(
  { timeouts, address }: ProgramHost,
  request: LaunchRequest,
  made: Promise<A>,
): Effect.Effect<A, Failure> =>
  Effect.timeoutOrElse(
    Effect.promise(() => made),
    {
      duration: timeouts.commandStart,
      orElse: () =>
        Effect.fail(
          notStarted(request, "it took longer than kubernetes.timeouts.commandStart", podNames(address)),
        ),
    },
  );

/** What a runtime says about a program that is not in the image. */
export const NO_SUCH_PROGRAM = /no such file or directory|executable file not found|not found in \$PATH/i;

/** Statuses that runtimes use when they could not run a program at all. */
const NOT_RUN: ReadonlySet<number> = new Set([126, 127, 128]);

const whyNot = (
  { address }: ProgramHost,
  channels: Channels,
  request: LaunchRequest,
  said: string,
): Effect.Effect<Missing, Failure> =>
  Effect.flatMap(
    Effect.promise(() => channels.ended),
    (end: ChannelsEnd) => {
      const answer = end.kind === "exited" ? `${said} (exit status ${end.status})` : `${end.message} ${said}`;
      const isMissing =
        end.kind === "exited"
          ? NOT_RUN.has(end.status)
          : end.kind === "failed" && NO_SUCH_PROGRAM.test(answer);
      if (isMissing) return Effect.succeed({ missing: answer.trim() });
      return Effect.fail(
        end.kind === "lost" || end.kind === "silent"
          ? new ExitLost({
              message: `The connection was lost while a program was started: ${end.message}`,
              details: podNames(address),
            })
          : notStarted(request, answer, podNames(address)),
      );
    },
  );

const notStarted = (
  { command }: LaunchRequest,
  answer: string,
  place: Readonly<Record<string, string>>,
): ProgramNotStarted =>
  new ProgramNotStarted({
    message: `The program was not started: ${answer}`,
    details: { ...place, program: command.words[0] ?? "", answer },
  });

/** Size and modes as words for stty, in groups ended by `;`. */
const terminalSettings = (terminal: Terminal | undefined): string => {
  if (terminal === undefined) return "";
  const { columns, rows, modes } = terminal;
  const size = columns > 0 && rows > 0 ? [["rows", String(rows), "cols", String(columns)]] : [];
  return [...size, ...sttyModes(modes)].map((group) => `${group.join(" ")};`).join("");
};
