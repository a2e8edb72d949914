/** gssapi-with-mic spoken message by message (RFC 4462 section 3), to leave the way that clients go. */

import { Message, message, Reader, string } from "../../src/ssh/wire.ts";
import type { Daemon } from "./daemon.ts";
import { WireClient } from "./wire-client.ts";

/** Kerberos V5, as DER. */
export const KERBEROS = Buffer.from("06092a864886f712010202", "hex");
export const SPNEGO = Buffer.from("06062b0601050502", "hex");

/** The server's next word in an exchange. */
export type Word =
  | { readonly kind: "response" | "token" | "errorToken"; readonly bytes: Buffer }
  | { readonly kind: "error"; readonly major: number; readonly minor: number; readonly text: string }
  | { readonly kind: "failure"; readonly methods: string }
  | { readonly kind: "success" };

export class GssapiClient {
  readonly wire: WireClient;
  readonly #username: string;

  private constructor(wire: WireClient, username: string) {
    this.wire = wire;
    this.#username = username;
  }

  static async to(daemon: Daemon, username: string): Promise<GssapiClient> {
    const wire = await WireClient.connect(daemon);
    await wire.beginAuthentication();
    return new GssapiClient(wire, username);
  }

  /** Asks for the method; gives the server's word, a response if all is well. */
  async request(...mechanisms: readonly Buffer[]): Promise<Word> {
    const count = { uint32: mechanisms.length };
    this.wire.send(
      Message.USERAUTH_REQUEST,
      ...[this.#username, "ssh-connection", "gssapi-with-mic", count, ...mechanisms],
    );
    return await this.word();
  }

  async token(token: Buffer): Promise<Word> {
    this.wire.send(Message.USERAUTH_GSSAPI_TOKEN, token);
    return await this.word();
  }

  async mic(mic: Buffer): Promise<Word> {
    this.wire.send(Message.USERAUTH_GSSAPI_MIC, mic);
    return await this.word();
  }

  /** What the MIC has to be over. */
  signedData(username = this.#username, sessionId = this.wire.sessionId): Buffer {
    const request = message(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic");
    return Buffer.concat([string(sessionId), request]);
  }

  async word(): Promise<Word> {
    const payload = await this.wire.next(
      ...[Message.USERAUTH_GSSAPI_RESPONSE, Message.USERAUTH_GSSAPI_TOKEN, Message.USERAUTH_GSSAPI_ERROR],
      ...[Message.USERAUTH_GSSAPI_ERRTOK, Message.USERAUTH_FAILURE, Message.USERAUTH_SUCCESS],
    );
    const reader = new Reader(payload);
    switch (payload[0]) {
      case Message.USERAUTH_GSSAPI_RESPONSE:
        return { kind: "response", bytes: reader.string() };
      case Message.USERAUTH_GSSAPI_TOKEN:
        return { kind: "token", bytes: reader.string() };
      case Message.USERAUTH_GSSAPI_ERRTOK:
        return { kind: "errorToken", bytes: reader.string() };
      case Message.USERAUTH_GSSAPI_ERROR:
        return { kind: "error", major: reader.uint32(), minor: reader.uint32(), text: reader.text() ?? "" };
      case Message.USERAUTH_SUCCESS:
        return { kind: "success" };
      default:
        return { kind: "failure", methods: reader.name() };
    }
  }

  /** Every word up to the failure. */
  async untilFailure(first: Word): Promise<readonly Word["kind"][]> {
    const kinds = [first.kind];
    while (kinds.at(-1) !== "failure") kinds.push((await this.word()).kind);
    return kinds;
  }
}
