/** A channel that this side opened on a server (RFC 4254 sections 5 and 6): its streams, its requests and its end. */
import type { Exit } from "../../../machines/facts.ts";
import { ChannelOutput, type ChannelPort } from "../channel-output.ts";
import { DataStream, ErrorInput } from "../channel-streams.ts";
import { type Field, Message, message, ProtocolError, type Reader } from "../wire.ts";

/** RFC 4254 section 5.2: SSH_EXTENDED_DATA_STDERR. */
const STDERR = 1;

/** What a channel needs of its connection. */
export interface ClientChannelPort extends ChannelPort {
  /** Both sides have closed the channel. */
  readonly closed: () => void;
}

/** The fields of SSH_MSG_CHANNEL_OPEN_CONFIRMATION. */
export interface ChannelConfirmation {
  readonly recipient: number;
  readonly window: number;
  readonly packetBytes: number;
}

export class ClientChannel {
  /** Readable: what the server sends. Writable: what it gets; its end is the end of the program's input. */
  readonly data: DataStream;
  readonly stderr: ErrorInput;
  /** What the server said about the program's end; undefined when the channel was closed without a word. */
  readonly exit: Promise<Exit | undefined>;
  readonly #port: ClientChannelPort;
  readonly #recipient: number;
  readonly #output: ChannelOutput;
  /** The requests that wait for an answer, in their order. */
  #unanswered: ((isGranted: boolean) => void)[] = [];
  #tellExit: (exit: Exit | undefined) => void = () => {};
  #isEndReceived = false;
  #isCloseSent = false;
  #isClosed = false;

  constructor(confirmation: ChannelConfirmation, port: ClientChannelPort) {
    const { recipient, window, packetBytes } = confirmation;
    this.#port = port;
    this.#recipient = recipient;
    this.#output = new ChannelOutput(port, recipient, window, packetBytes);
    this.data = new DataStream(this.#output, {
      consumed: (bytes) => this.#send(Message.CHANNEL_WINDOW_ADJUST, { uint32: bytes }),
      finished: () => this.#send(Message.CHANNEL_EOF),
      unreadElsewhere: () => (this.stderr.destroyed ? 0 : this.stderr.readableLength),
    });
    this.stderr = new ErrorInput(() => this.data.dismiss(0));
    this.exit = new Promise((resolve) => {
      this.#tellExit = resolve;
    });
    // Whoever reads a stream hears of its failure; one that nobody reads has nobody to tell.
    this.data.on("error", () => {});
    this.stderr.on("error", () => {});
  }

  get isOpen(): boolean {
    return !this.#isClosed && !this.#isCloseSent;
  }

  /** SSH_MSG_CHANNEL_REQUEST; tells whether the server granted it. */
  request(type: string, ...fields: readonly Field[]): Promise<boolean> {
    return new Promise((resolve) => {
      if (!this.isOpen) return resolve(false);
      this.#unanswered.push(resolve);
      this.#send(Message.CHANNEL_REQUEST, type, true, ...fields);
    });
  }

  /** SSH_MSG_CHANNEL_REQUEST to which no answer is wanted. */
  tell(type: string, ...fields: readonly Field[]): void {
    this.#send(Message.CHANNEL_REQUEST, type, false, ...fields);
  }

  /** SSH_MSG_CHANNEL_CLOSE: nothing is sent after it, and what still comes is dropped. */
  close(): void {
    if (!this.isOpen) return;
    this.#send(Message.CHANNEL_CLOSE);
    this.#isCloseSent = true;
    this.#output.abandon();
    this.data.destroy();
    this.stderr.destroy();
  }

  // What the server sends.

  dataReceived(data: Buffer): void {
    this.#checkWindow(data);
    this.data.receive(data);
  }

  extendedDataReceived(type: number, data: Buffer): void {
    this.#checkWindow(data);
    if (type === STDERR) this.stderr.receive(data);
    this.data.dismiss(data.length);
  }

  windowExtended(bytes: number): void {
    this.#output.extendWindow(bytes);
  }

  endReceived(): void {
    if (this.#isEndReceived) return;
    this.#isEndReceived = true;
    this.data.receiveEnd();
    this.stderr.receiveEnd();
  }

  answered(isGranted: boolean): void {
    const answer = this.#unanswered.shift();
    if (answer === undefined) throw new ProtocolError("the server answered a request that was not made");
    answer(isGranted);
  }

  /** A request of the server: how the program ended (section 6.10); others are refused. */
  requested(type: string, wantsReply: boolean, reader: Reader): void {
    const exit = exitOf(type, reader);
    if (exit !== undefined) this.#tellExit(exit);
    if (wantsReply) this.#send(exit === undefined ? Message.CHANNEL_FAILURE : Message.CHANNEL_SUCCESS);
  }

  closeReceived(): void {
    this.#send(Message.CHANNEL_CLOSE);
    this.#isCloseSent = true;
    this.#end();
  }

  /** The connection is gone: what was not read yet is lost. */
  lost(error: Error): void {
    this.data.destroy(error);
    this.stderr.destroy(error);
    this.#end();
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.endReceived();
    this.#output.abandon();
    const unanswered = this.#unanswered;
    this.#unanswered = [];
    for (const answer of unanswered) answer(false);
    this.#tellExit(undefined);
    this.#port.closed();
  }

  #send(number: number, ...fields: readonly Field[]): void {
    if (this.isOpen) this.#port.send(message(number, { uint32: this.#recipient }, ...fields));
  }

  #checkWindow(data: Buffer): void {
    if (data.length > this.data.window) throw new ProtocolError("a channel's window is exceeded");
  }
}

const exitOf = (type: string, reader: Reader): Exit | undefined => {
  switch (type) {
    case "exit-status":
      return { kind: "status", status: reader.uint32() };
    case "exit-signal":
      return {
        kind: "signal",
        signal: reader.name(),
        coreDumped: reader.boolean(),
        message: reader.string().toString(),
      };
    default:
      return undefined;
  }
};
