/** The inspector as a daemon has it: a recorder from the start on, and a service that shows what it keeps. */
import { Effect } from "effect";
import type { Inspect } from "../config/sections/inspect.ts";
import type { Service } from "../daemon.ts";
import { version } from "../version.ts";
import { Recorder } from "./recorder.ts";
import { type InspectorOptions, inspectorService } from "./service.ts";
import { linkTo, tokenFrom } from "./token.ts";

export interface Inspector {
  readonly recorder: Recorder;
  readonly service: (daemon: Pick<InspectorOptions, "logger" | "disconnect">) => Service;
}

const BYTES_PER_MEBIBYTE = 1024 * 1024;

/** @param onGenerated gets the address of the page with its token when that was made for this run */
export const openInspector = (config: Inspect, onGenerated: (link: string) => void): Inspector => {
  const { connections, mebibytes } = config.history;
  const recorder = new Recorder({ connections, bytes: mebibytes * BYTES_PER_MEBIBYTE });
  const token = tokenFrom(config.token);
  return {
    recorder,
    service: (daemon) =>
      Effect.tap(inspectorService({ ...daemon, config, recorder, token, version: version() }), ({ url }) =>
        Effect.sync(() => {
          if (token.isGenerated) onGenerated(linkTo(url, token));
        }),
      ),
  };
};
