/** The environment variables of a container and of the programs in it. */
import { Redacted } from "effect";
import type { Identity } from "../../../machines/facts.ts";
import type { DockerExecution } from "../../config/sections/docker.ts";
import type { ProgramRequest } from "../backend.ts";

type Variables = Readonly<Record<string, string>>;

/** What the login gives to every program: its environment, and its metadata where the configuration says so. */
export const loginEnvironment = (
  { metadata, environment }: Identity,
  { exposeAuthMetadataAsEnv }: DockerExecution,
): Variables =>
  Object.fromEntries(
    Object.entries({ ...(exposeAuthMetadataAsEnv ? metadata : {}), ...environment }).map(
      ([name, { value }]) => [name, Redacted.value(value)],
    ),
  );

/** What a program gets: the terminal, what the client asked for, and the login's, which wins. */
export const programEnvironment = (
  { terminal, environment }: ProgramRequest,
  login: Variables,
): Variables => ({
  ...(terminal !== undefined && terminal.term !== "" ? { TERM: terminal.term } : {}),
  ...environment,
  ...login,
});

/** `NAME=value`, as the Engine takes it. */
export const environmentList = (variables: Variables): readonly string[] =>
  Object.entries(variables).map(([name, value]) => `${name}=${value}`);

/** Configured `NAME=value` entries with others over them: the Engine would keep both, and programs see the first. */
export const mergedEnvironment = (
  configured: ReadonlyArray<Redacted.Redacted<string>>,
  over: Variables,
): readonly string[] => [
  ...configured.map(Redacted.value).filter((entry) => !Object.hasOwn(over, entry.split("=", 1)[0] ?? entry)),
  ...environmentList(over),
];
