/** What clients offer as proof, for those who check it: extends the machines' opaque credentials. */
import type { Redacted } from "effect";
import { failure } from "../failure.ts";

declare module "../../machines/facts.ts" {
  interface PasswordCredential {
    readonly password: Redacted.Redacted<string>;
  }

  interface PublicKeyCredential {
    /** The public key in OpenSSH's authorized_keys format, without a comment: `ssh-ed25519 AAAA…`. */
    readonly key: string;
    /** Whether the request's signature proves possession of the key; false when it carries none. */
    readonly verify: () => boolean;
  }

  interface InteractiveCredential {
    /** SSH_MSG_USERAUTH_INFO_REQUEST and its answer. Fails with InteractionEnded when there will be no answer. */
    readonly ask: (questions: Questions) => Promise<readonly Redacted.Redacted<string>[]>;
  }

  interface GssapiCredential {
    /** Sends a token, or nothing, and waits for what the client says next. Fails with InteractionEnded as `ask` does. */
    readonly exchange: (token: Redacted.Redacted<Uint8Array> | undefined) => Promise<GssapiMessage>;
    /** SSH_MSG_USERAUTH_GSSAPI_ERROR, and SSH_MSG_USERAUTH_GSSAPI_ERRTOK if there is a token (RFC 4462 sections 3.8, 3.9). */
    readonly showError: (error: GssapiError) => void;
    /** What the client's message integrity code has to be over (RFC 4462 section 3.5). */
    readonly signedData: () => Buffer;
  }
}

/** A message of a client in the middle of gssapi-with-mic (RFC 4462 sections 3.4 to 3.9); `bytes` is a token or a MIC. */
export interface GssapiMessage {
  readonly kind: "token" | "mic" | "exchangeComplete" | "errorToken";
  readonly bytes: Redacted.Redacted<Uint8Array>;
}

export interface GssapiError {
  /** Status codes of the GSS-API (RFC 2744 section 3.9). */
  readonly major: number;
  readonly minor: number;
  /** For the user: neither names of servers nor of keys. */
  readonly text: string;
  readonly token: Uint8Array | undefined;
}

/** What a user is asked at once (RFC 4256 section 3.2). */
export interface Questions {
  readonly title: string;
  readonly instruction: string;
  readonly prompts: readonly Prompt[];
}

export interface Prompt {
  readonly text: string;
  /** Whether the answer is shown while it is typed. */
  readonly echo: boolean;
}

/** The client began another attempt, answered out of form, or is gone. */
export class InteractionEnded extends failure(
  "InteractionEnded",
  "SSH_AUTH_FAILED",
  "The questions were not answered.",
  "info",
) {}
