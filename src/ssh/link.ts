/**
 * The SSH side of one connection as the rest of Berth sees it: facts go out as events of the connection machine,
 * its actions come in as the methods below. Bytes go through `ChannelStreams` and past everything else.
 */
import type { Duplex, Writable } from "node:stream";
import type { DisconnectReason } from "../../machines/connection-facts.ts";
import type { AuthenticationMethod, Exit, Level } from "../../machines/facts.ts";
import type { Logger } from "../log/logger.ts";

/**
 * What a connection's machine may do to its client. Every method is safe to call at any time: after the client is
 * gone it does nothing.
 */
export interface Link {
  readonly connectionId: string;
  /** `address:port`, an IPv6 address in brackets. */
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** The log, with the connection's labels. */
  readonly logger: Logger;
  /** Gives the connection's log a threshold of its own, from now on. */
  readonly logAt: (level: Level) => Logger;
  /** SSH_MSG_USERAUTH_FAILURE with the methods that can continue (RFC 4252 section 5.1). */
  readonly answerFailure: (methods: readonly AuthenticationMethod[]) => void;
  /** SSH_MSG_USERAUTH_PK_OK (RFC 4252 section 7). */
  readonly answerKeyAcceptable: () => void;
  /** SSH_MSG_USERAUTH_SUCCESS. */
  readonly answerSuccess: () => void;
  /** SSH_MSG_USERAUTH_BANNER: a sentence for the user before the login is decided. */
  readonly showBanner: (text: string) => void;
  /** Confirms the session channel whose opening is being announced; one that is not confirmed at once is refused. */
  readonly acceptChannel: (channel: number) => void;
  /** Accepts the channel request that is being announced; one that is not accepted at once is refused. */
  readonly acceptRequest: (channel: number) => void;
  /** Accepts the shell, exec or subsystem request that is being announced. */
  readonly openStreams: (channel: number) => void;
  /** The byte streams of a channel whose program request was accepted; undefined when the channel is gone. */
  readonly streams: (channel: number) => ChannelStreams | undefined;
  /** A line on the channel's standard error (with CRLF where there is a terminal). */
  readonly showFailure: (channel: number, text: string) => void;
  /** exit-status or exit-signal, end of file, close: in RFC 4254's order, after all output has been written. */
  readonly closeChannel: (channel: number, exit: Exit) => void;
  /** A line for every session that has a terminal. */
  readonly notifyTerminals: (text: string) => void;
  /** SSH_MSG_DISCONNECT (RFC 4253 section 11.1), then the end of the socket, by force after a short while. */
  readonly disconnect: (reason: DisconnectReason, text: string) => void;
}

export interface ChannelStreams {
  /** Readable: the client's data, ended by its SSH_MSG_CHANNEL_EOF. Writable: standard output. Both with back-pressure. */
  readonly channel: Duplex;
  /** Standard error (SSH_EXTENDED_DATA_STDERR). */
  readonly stderr: Writable;
}
