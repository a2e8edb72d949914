/**
 * Where a browser that comes back from the provider meets the SSH login that sent it there: the page shows a short
 * code, and whoever types it into the right SSH login is the one who sat at the browser. A code is good for one login,
 * once, and only as long as that login waits.
 */
import { createHash, randomInt, timingSafeEqual } from "node:crypto";
import { Redacted } from "effect";
import type { AuthorizationRequest, CodeAnswer } from "../../../machines/authorization-code.ts";

/** What a page may say to a browser that came back. */
export type Arrival =
  | { readonly kind: "code"; readonly code: Redacted.Redacted<string> }
  /** The user or the provider said no. */
  | { readonly kind: "declined" }
  /** The login is over, or another browser has come back for it. */
  | { readonly kind: "over" }
  /** There is nothing in the address that a provider would put there. */
  | { readonly kind: "nothing" };

type Returned =
  | {
      readonly kind: "code";
      readonly parameters: Redacted.Redacted<URLSearchParams>;
      readonly short: Redacted.Redacted<string>;
    }
  | { readonly kind: "declined"; readonly error: string };

interface Waiting {
  /** Names the link to the provider in a short one. */
  readonly ticket: string;
  readonly link: Redacted.Redacted<string>;
  returned: Returned | undefined;
}

/** The parameter of short links. */
const TICKET = "login";
/** 60 bits. */
const TICKET_LENGTH = 12;

/** Crockford's base 32: nothing in it is mistaken for something else. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SHORT_CODE_LENGTH = 8;
/** How many logins that are over are remembered, so that their pages can say so. */
const REMEMBERED = 10_000;

export class Returns {
  readonly #waiting = new Map<string, Waiting>();
  readonly #over = new Set<string>();

  /** A login waits for its browser. @returns what ends the waiting. */
  expect({ state, link }: Pick<AuthorizationRequest, "state" | "link">): () => void {
    const key = Redacted.value(state);
    this.#waiting.set(key, { ticket: randomLetters(TICKET_LENGTH), link, returned: undefined });
    return () => {
      this.#waiting.delete(key);
      this.#over.add(key);
      const [oldest] = this.#over;
      if (this.#over.size > REMEMBERED && oldest !== undefined) this.#over.delete(oldest);
    };
  }

  /**
   * A link that fits into a line, for clients that break lines: it leads to the provider by way of the address that
   * browsers come back to. Undefined for a login that does not wait.
   */
  shortLink(state: Redacted.Redacted<string>, redirectUri: string): Redacted.Redacted<string> | undefined {
    const login = this.#waiting.get(Redacted.value(state));
    if (login === undefined) return undefined;
    const address = new URL(redirectUri);
    address.searchParams.set(TICKET, login.ticket);
    return Redacted.make(address.href);
  }

  /** Where a short link leads; undefined for other addresses, and when the login is over. */
  destination(parameters: URLSearchParams): Redacted.Redacted<string> | undefined {
    const ticket = parameters.get(TICKET);
    return [...this.#waiting.values()].find((login) => login.ticket === ticket)?.link;
  }

  /** A browser came back, with these parameters in its address. The same browser may come back again. */
  arrived(parameters: URLSearchParams): Arrival {
    const state = parameters.get("state") ?? "";
    const code = parameters.get("code");
    const error = parameters.get("error");
    if (code === null && error === null) return { kind: parameters.has(TICKET) ? "over" : "nothing" };
    if (this.#over.has(state)) return { kind: "over" };
    const login = this.#waiting.get(state);
    if (login === undefined) return elsewhere(state, code, parameters.get("iss"));
    if (login.returned === undefined) login.returned = returnedWith(parameters, code, error);
    const { returned } = login;
    if (returned.kind === "declined") return { kind: "declined" };
    return Redacted.value(returned.parameters).get("code") === code
      ? { kind: "code", code: returned.short }
      : { kind: "over" };
  }

  /** What somebody typed into the login that waits for this state. */
  read(state: Redacted.Redacted<string>, typed: Redacted.Redacted<string>): CodeAnswer {
    const text = Redacted.value(typed).replace(/[\s\u200b-\u200d\u2060\ufeff]+/g, "");
    const returned = this.#waiting.get(Redacted.value(state))?.returned;
    if (text.includes("|")) return readLong(Redacted.value(state), text);
    if (returned?.kind === "declined") return { kind: "declined", error: returned.error };
    const short = normalized(text);
    if (short === undefined) {
      return { kind: text === "" && returned === undefined ? "notReturned" : "unreadable" };
    }
    if (returned === undefined) return { kind: "notReturned" };
    if (!isSame(short, normalized(Redacted.value(returned.short)) ?? "")) return { kind: "mismatch" };
    return matched(Redacted.value(returned.parameters));
  }
}

const returnedWith = (parameters: URLSearchParams, code: string | null, error: string | null): Returned =>
  code === null
    ? { kind: "declined", error: (error ?? "").replace(/[^!-~]/g, "").slice(0, 64) }
    : {
        kind: "code",
        parameters: Redacted.make(new URLSearchParams(parameters)),
        short: Redacted.make(shortCode()),
      };

const randomLetters = (length: number): string =>
  Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");

const shortCode = (): string => {
  const letters = randomLetters(SHORT_CODE_LENGTH);
  return `${letters.slice(0, SHORT_CODE_LENGTH / 2)}-${letters.slice(SHORT_CODE_LENGTH / 2)}`;
};

/** A short code as people write it: any case, with or without the hyphen, O for 0, I and L for 1. */
const normalized = (text: string): string | undefined => {
  const letters = text.toUpperCase().replace(/-/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  return letters.length === SHORT_CODE_LENGTH && [...letters].every((letter) => ALPHABET.includes(letter))
    ? letters
    : undefined;
};

/** RFC 6749 appendix A.11, without the space; longer than any provider's. */
const isCode = (text: string): boolean => /^[!-~]{1,4096}$/.test(text);

/** What providers make codes of; nothing in it can end what a page of an operator's own puts around it. */
const isHarmless = (text: string): boolean => isCode(text) && /^[\w.~+/=:!*$%@,-]+$/.test(text);

/** Of RFC 6749 appendix A.5, what our own states are made of. */
const isState = (text: string): boolean => /^[\w-]{43}$/.test(text);

/**
 * A state nobody waits for here may be another daemon's behind the same address. As in the reference, the page then
 * shows all that the login needs: the state, the code, and who sent the browser back if the provider says so.
 */
const elsewhere = (state: string, code: string | null, issuer: string | null): Arrival => {
  if (code === null) return { kind: "declined" };
  if (!isState(state) || !isHarmless(code)) return { kind: "nothing" };
  const isIssuer = issuer !== null && isHarmless(issuer) && URL.canParse(issuer);
  return { kind: "code", code: Redacted.make([state, code, ...(isIssuer ? [issuer] : [])].join("|")) };
};

const readLong = (state: string, text: string): CodeAnswer => {
  const [itsState = "", code = "", issuer, ...rest] = text.split("|");
  if (rest.length > 0 || !isCode(code)) return { kind: "unreadable" };
  if (!isSame(itsState, state)) return { kind: "mismatch" };
  return matched(new URLSearchParams({ state, code, ...(issuer !== undefined && { iss: issuer }) }));
};

const matched = (parameters: URLSearchParams): CodeAnswer => ({
  kind: "matched",
  response: { grantType: "authorization_code", parameters: Redacted.make(parameters) },
});

/** Compares in a time that says nothing about where they differ. */
const isSame = (one: string, other: string): boolean => timingSafeEqual(digest(one), digest(other));

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
