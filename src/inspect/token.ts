/** The bearer token (RFC 6750) that whoever looks at the inspector has to know. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Redacted } from "effect";
import { BEARER_PREFIX } from "./format.ts";

export interface Token {
  readonly value: Redacted.Redacted<string>;
  /** Whether it was made for this run: then nobody knows it who isn't told. */
  readonly isGenerated: boolean;
}

/** The configured token, or a new one. */
export const tokenFrom = (configured: Redacted.Redacted<string>): Token =>
  Redacted.value(configured) === ""
    ? { value: Redacted.make(randomBytes(18).toString("base64url")), isGenerated: true }
    : { value: configured, isGenerated: false };

/** The address of the page with the token in its fragment, which browsers send to nobody. */
export const linkTo = (url: string, { value }: Token): string =>
  `${url}/#token=${encodeURIComponent(Redacted.value(value))}`;

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Whether a token that was offered is the one, in a time that says nothing about how much of it is right. */
const isRight = ({ value }: Token, offered: string | undefined): boolean =>
  offered !== undefined && timingSafeEqual(digest(offered), digest(Redacted.value(value)));

const inHeader = ({ headers }: IncomingMessage): string | undefined =>
  /^bearer +(\S+) *$/i.exec(headers.authorization ?? "")?.[1];

/** What a browser's WebSocket can say: a subprotocol, in base64url because not every character may stand in one. */
const inSubprotocol = ({ headers }: IncomingMessage): string | undefined => {
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  const encoded = offered.find((protocol) => protocol.startsWith(BEARER_PREFIX))?.slice(BEARER_PREFIX.length);
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64url").toString("utf8");
};

/** RFC 6750 section 2.3, for clients that can be given a URL and nothing else. */
const inQuery = ({ url = "" }: IncomingMessage): string | undefined =>
  new URLSearchParams(url.split("?")[1]).get("access_token") ?? undefined;

export const mayAsk = (token: Token, request: IncomingMessage): boolean => isRight(token, inHeader(request));

export const mayConnect = (token: Token, request: IncomingMessage): boolean =>
  isRight(token, inHeader(request) ?? inSubprotocol(request) ?? inQuery(request));
