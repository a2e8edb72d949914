/**
 * The values that travel through machines. What only sources may read (secrets, open resources) is an empty
 * interface here that a source extends by declaration merging: machines carry it and cannot look inside.
 */

/** Why something was refused or failed: what operators grep for, what the user reads, what the log adds. */
export interface Refusal {
  /** The message code, the reference's wherever the situation is the same. */
  readonly code: string;
  /** One sentence the user can act on. Never a stack trace, never a secret. */
  readonly userMessage: string;
  /** The operator's sentence. */
  readonly message: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** How loud the log says it: `error` when an operator has something to mend, `notice` when a user did something wrong. */
  readonly level: Level;
}

/** Who logged in. Extended in src/metadata.ts by what the steps of the login learned about them. */
export interface Identity {
  /** The user name that was asked for. */
  readonly username: string;
  /** The user name that was proven. */
  readonly authenticatedUsername: string;
}

/** RFC 4252, RFC 4256 and RFC 4462 method names that Berth can offer. */
export type AuthenticationMethod = "password" | "publickey" | "keyboard-interactive" | "gssapi-with-mic";

/** RFC 4252 section 8. Extended in src/ssh/credentials.ts by the password. */
export interface PasswordCredential {
  readonly method: "password";
}

/** RFC 4252 section 7. Extended in src/ssh/credentials.ts by the key and its signature. */
export interface PublicKeyCredential {
  readonly method: "publickey";
  /** Name of the public key algorithm, such as `ssh-ed25519`. */
  readonly algorithm: string;
  /** `SHA256:…` as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  /** Whether the request carries a signature, or only asks whether the key would do. */
  readonly signed: boolean;
}

/** RFC 4256. Extended in src/ssh/credentials.ts by a way to ask the user. */
export interface InteractiveCredential {
  readonly method: "keyboard-interactive";
}

/** RFC 4462 section 3. Extended in src/auth/kerberos/. */
export interface GssapiCredential {
  readonly method: "gssapi-with-mic";
}

/** What a client offered as proof of who it is. */
export type Credential = PasswordCredential | PublicKeyCredential | InteractiveCredential | GssapiCredential;

/** One try to log in, as the method that checks it gets it. */
export interface Attempt<C extends Credential = Credential> {
  readonly connectionId: string;
  readonly username: string;
  readonly credential: C;
}

/** The configuration of one connection: the file's, overlaid by the configuration server's. Extended in src/config/. */
export interface Settings {
  readonly backend: BackendName;
}

export type BackendName = "docker" | "kubernetes" | "sshproxy" | "process";

/** The place a connection's programs run in. Extended in src/backend/backend.ts. */
export interface Environment {
  /** For logs and the inspector: `container 4f2a…`, `pod default/jane`. */
  readonly description: string;
}

/** What a backend's machine ends with. */
export type ProvisioningOutcome =
  | { readonly kind: "ready"; readonly environment: Environment }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** What a backend's machine starts from. */
export interface Provisioning {
  readonly connectionId: string;
  readonly identity: Identity;
  readonly settings: Settings;
}

/** RFC 4254 section 6.2. Sizes of 0 mean "not given". */
export interface Terminal extends TerminalSize {
  readonly term: string;
  /** Encoded terminal modes (RFC 4254 section 8): opcode name to argument. */
  readonly modes: Readonly<Record<string, number>>;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
  readonly widthPixels: number;
  readonly heightPixels: number;
}

/** RFC 4254 section 6.5. */
export type Program =
  | { readonly kind: "shell" }
  | { readonly kind: "exec"; readonly command: string }
  | { readonly kind: "subsystem"; readonly name: string };

/** What a client may ask to have forwarded: RFC 4254 sections 6.3, 7.1 and 7.2, and OpenSSH's PROTOCOL for sockets. */
export type Forwarding =
  | "direct-tcpip"
  | "direct-streamlocal@openssh.com"
  | "tcpip-forward"
  | "streamlocal-forward@openssh.com"
  | "x11-req";

/** How a program ended (RFC 4254 section 6.10). Signal names come without `SIG`. */
export type Exit =
  | { readonly kind: "status"; readonly status: number }
  | {
      readonly kind: "signal";
      readonly signal: string;
      readonly coreDumped: boolean;
      readonly message: string;
    };

/** Severity of a log line, by syslog's names. */
export type Level = "debug" | "info" | "notice" | "warning" | "error" | "crit" | "alert" | "emerg";

/** One line for the log. */
export interface LogLine {
  readonly level: Level;
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** Turns whatever an actor failed with into a refusal; a stranger becomes UNKNOWN_ERROR and keeps its message for the log. */
export const refusalOf = (error: unknown): Refusal => {
  if (isFailure(error)) {
    const { code, userMessage, message, details = {}, level = "error" } = error;
    return { code, userMessage, message, details, level };
  }
  return {
    code: "UNKNOWN_ERROR",
    userMessage: "An internal error ended this connection. Please try again later.",
    message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    details: {},
    level: "error",
  };
};

type FailureLike = Pick<Refusal, "code" | "userMessage" | "message"> &
  Partial<Pick<Refusal, "details" | "level">>;

const isFailure = (value: unknown): value is FailureLike =>
  typeof value === "object" &&
  value !== null &&
  "code" in value &&
  typeof value.code === "string" &&
  "userMessage" in value &&
  typeof value.userMessage === "string" &&
  "message" in value &&
  typeof value.message === "string";
