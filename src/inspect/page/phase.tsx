/** The phases of a connection: each has a word, a colour and a shape, so that none of the three is needed alone. */

export type Phase = "entering" | "provisioning" | "serving" | "refusing" | "ended";

export interface Station {
  /** The state's name, as it is in a row's state. */
  readonly state: string;
  readonly label: string;
  readonly phase: Phase;
}

/** The stations on a connection's way, in its order. */
export const stations: readonly Station[] = [
  { state: "handshaking", label: "Handshaking", phase: "entering" },
  { state: "authenticating", label: "Authenticating", phase: "entering" },
  { state: "authorizing", label: "Authorizing", phase: "entering" },
  { state: "configuring", label: "Configuring", phase: "entering" },
  { state: "provisioning", label: "Provisioning", phase: "provisioning" },
  { state: "serving", label: "Serving", phase: "serving" },
  { state: "refusing", label: "Refusing", phase: "refusing" },
  { state: "closing", label: "Closing", phase: "ended" },
];

const closed: Station = { state: "closed", label: "Closed", phase: "ended" };
const refused: Station = { state: "closed", label: "Refused", phase: "refusing" };

/** Where a connection is; one that ended without a login and with a reason was refused. */
export const stationOf = (row: {
  readonly state: string;
  readonly endedAt?: number;
  readonly code?: string | undefined;
  readonly loggedIn: boolean;
}): Station => {
  if (row.endedAt !== undefined) return row.code !== undefined && !row.loggedIn ? refused : closed;
  const names = row.state.split(".");
  return (
    stations.find(({ state }) => names.includes(state)) ?? {
      state: row.state,
      label: row.state,
      phase: "ended",
    }
  );
};

const shapes: Readonly<Record<Phase, preact.ComponentChildren>> = {
  entering: (
    <>
      <circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.6" />
      <circle cx="6" cy="6" r="1.8" fill="currentColor" />
    </>
  ),
  provisioning: (
    <>
      <circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.6" />
      <path d="M6 1.4a4.6 4.6 0 0 1 0 9.2z" fill="currentColor" />
    </>
  ),
  serving: <circle cx="6" cy="6" r="5.2" fill="currentColor" />,
  refusing: <path d="M6 .4 11.6 6 6 11.6.4 6z" fill="currentColor" />,
  ended: <circle cx="6" cy="6" r="3.2" fill="none" stroke="currentColor" stroke-width="1.6" />,
};

export const PhaseMark = ({ phase }: { readonly phase: Phase }) => (
  <svg class={`mark phase-${phase}`} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
    {shapes[phase]}
  </svg>
);
