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
