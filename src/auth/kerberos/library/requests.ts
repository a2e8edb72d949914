/**
 * What the daemon asks of the process that holds the Kerberos library, and what it answers. Numbers of sessions are
 * the daemon's: a session begins with the first request that names it and is gone when one of its requests fails.
 */

/** What the process is started with. */
export interface LibraryOptions {
  readonly keytab: string;
  /** A principal of the keytab that clients' tickets have to be for; undefined is any of them. */
  readonly acceptor: string | undefined;
  /** A directory that only this user can enter, for files that live as long as a request. */
  readonly scratch: string;
}

/** Who a session has proven. */
export interface ProvenPrincipal {
  /** As `klist` prints it: special characters are escaped with a backslash. */
  readonly name: string;
  /** What `auth_to_local` of the Kerberos configuration, or its default rule, makes of it. */
  readonly localName: string | undefined;
  /** Nobody in particular (RFC 8062). */
  readonly isAnonymous: boolean;
}

/** By name: what is asked and what is answered. */
export interface LibraryCalls {
  /** Whether everything is there. */
  readonly open: { readonly input: object; readonly output: { readonly principals: readonly string[] } };
  readonly acceptToken: {
    readonly input: { readonly session: number; readonly token: Uint8Array };
    readonly output: {
      readonly token: Uint8Array | undefined;
      /** Missing while the client has to send another token. */
      readonly principal: ProvenPrincipal | undefined;
    };
  };
  readonly verifyMic: {
    readonly input: { readonly session: number; readonly data: Uint8Array; readonly mic: Uint8Array };
    readonly output: undefined;
  };
  readonly getCredentials: {
    readonly input: { readonly session: number; readonly principal: string; readonly password: Uint8Array };
    readonly output: ProvenPrincipal;
  };
  readonly proveKdc: { readonly input: { readonly session: number }; readonly output: undefined };
  /** A credential cache in MIT's file format; nothing when there are no credentials to be forwarded. Ends the session. */
  readonly takeCredentials: {
    readonly input: { readonly session: number };
    readonly output: Uint8Array | undefined;
  };
  readonly release: { readonly input: { readonly session: number }; readonly output: undefined };
}

export type LibraryCall = keyof LibraryCalls;

/** How a call of the library ended that did not end well. */
export interface LibraryStatus {
  /** `missing`: the library is not installed. `major`, `minor`: 0 where there is none. */
  readonly kind: "missing" | "status";
  /** The status code of the GSS-API (RFC 2744 section 3.9). */
  readonly major: number;
  /** The error code of the Kerberos library. */
  readonly minor: number;
  /** The library's own sentence: it may name principals and files, never a secret. */
  readonly text: string;
  /** For the client. */
  readonly token: Uint8Array | undefined;
}

export interface LibraryRequest<Call extends LibraryCall = LibraryCall> {
  readonly id: number;
  readonly call: Call;
  readonly input: LibraryCalls[Call]["input"];
}

export type LibraryAnswer =
  | { readonly id: number; readonly output: LibraryCalls[LibraryCall]["output"] }
  | { readonly id: number; readonly status: LibraryStatus };

/** Fails a call inside the process. */
export class CallFailed extends Error {
  readonly status: LibraryStatus;

  constructor(status: Partial<LibraryStatus> & Pick<LibraryStatus, "text">) {
    super(status.text);
    this.status = { kind: "status", major: 0, minor: 0, token: undefined, ...status };
  }
}
