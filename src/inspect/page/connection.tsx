/** One connection, or the daemon itself: its trace, as it goes on or from memory. */
import { useEffect } from "preact/hooks";
import { daemon, findRow, follow, followed, rowOf } from "./live.ts";
import { Nothing } from "./nothing.tsx";
import { ReplayView } from "./replay-view.tsx";

export interface ConnectionProps {
  /** Undefined is the daemon. */
  readonly id: string | undefined;
  /** Whether the replay begins at the step that refused. */
  readonly atRefusal: boolean;
}

export const ConnectionView = ({ id: reference, atRefusal }: ConnectionProps) => {
  const id = reference && (findRow(reference)?.id ?? reference);
  useEffect(() => {
    follow(id);
    return () => follow(undefined);
  }, [id]);
  const trace = id === undefined ? daemon.value : followed.value;
  const row = id === undefined ? undefined : (rowOf(id) ?? trace?.connection);
  if (trace === undefined) {
    return id === undefined || row !== undefined ? (
      <p class="waiting" role="status">
        Fetching the trace…
      </p>
    ) : (
      <Nothing
        title="Not kept any more"
        text={`There is no connection ${id} in memory. The inspector keeps the last ones that finished.`}
      />
    );
  }
  return (
    <ReplayView
      trace={row === undefined ? trace : { ...trace, connection: row }}
      isLive={row === undefined || row.endedAt === undefined}
      atRefusal={atRefusal}
      source="daemon"
    />
  );
};
