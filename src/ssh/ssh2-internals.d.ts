/** What src/ssh/ssh2-extension.ts uses of ssh2's insides, as version 1.17 has them. */
declare module "ssh2/lib/protocol/Protocol.js" {
  import type { KexInit } from "ssh2/lib/protocol/kex.js";

  export interface NegotiatedDirection {
    readonly cipher: string;
    readonly mac: string;
  }

  export interface Negotiated {
    kex: string;
    readonly serverHostKey: string;
    readonly cs: NegotiatedDirection;
    readonly sc: NegotiatedDirection;
  }

  /** What a key exchange needs of a host key. */
  export interface SigningKey {
    readonly type: string;
    getPublicSSH(): Buffer;
    sign(data: Buffer, hash?: string): Buffer | Error;
  }

  export interface ProtocolOptions {
    readonly server: boolean;
    /** A server's; clients have none. */
    readonly hostKeys?: Readonly<Record<string, SigningKey>>;
    /** A client's: whether the server may have this host key; without an answer, `accept` gives it later. */
    readonly hostVerifier?: (hostKey: Buffer, accept: (isPermitted: boolean) => void) => boolean | undefined;
    /** The identification string without `SSH-2.0-`. */
    readonly ident: Buffer;
    /** What ssh2 offers by default when it is left out. */
    readonly offer?: KexInit;
    readonly onWrite: (data: Uint8Array) => void;
    readonly onError: (error: Error & { readonly level?: string }) => void;
    readonly onHeader: () => void;
    readonly onHandshakeComplete: (negotiated: Negotiated) => void;
    readonly messageHandlers: {
      readonly DISCONNECT?: (protocol: Protocol, reason: number, text: string) => void;
    };
  }

  /** One exchange of keys, of a server or a client. */
  export interface KeyExchange {
    readonly negotiated: Negotiated;
    readonly sessionID: Buffer;
    remoteExtInfoEnabled: boolean;
    readonly _sentNEWKEYS: boolean;
    /** The peer's SSH_MSG_KEXINIT, which is part of the exchange hash. */
    _remoteKexinit: Buffer;
    /** Its method, for messages of errors. */
    type: string;
    /** The peer's public value as it is hashed. */
    convertPublicKey(value: Buffer): Buffer;
    /** Our public value. A server is asked after `computeSecret`. */
    getPublicKey(): Buffer;
    /** The shared secret, as it is hashed behind its length. */
    computeSecret(value: Buffer): Buffer | Error;
  }

  /** What a decryptor's caller does next: nothing means "go on with the next packet". */
  export type AfterPayload = number | false | undefined;

  export default class Protocol {
    constructor(options: ProtocolOptions);
    /** Sends the identification string. */
    start(): void;
    parse(chunk: Buffer, start: number, end: number): void;
    rekey(): void;
    disconnect: (reason: number) => void;
    cleanup(): void;
    _destruct: () => void;
    /** Reads the first packets, up to the first keys; replaced by `_decipher` of the new keys. */
    _decipher: { inSeqno: number; _onPayload: (payload: Buffer) => AfterPayload };
    /** Replaced with each new key. The last three are there unless the cipher authenticates itself. */
    readonly _cipher: {
      /** Memory for a packet, with its length and padding in place. */
      allocPacket: (payloadLength: number) => Buffer;
      readonly _encBlockLen?: number;
      readonly _aadLen?: number;
      readonly _macLen?: number;
    };
    /** Takes every decrypted payload outside key exchanges. */
    _onPayload: (payload: Buffer) => AfterPayload;
    _onHandshakeComplete: (negotiated: Negotiated) => void;
    /** Our SSH_MSG_KEXINIT while a key exchange is under way. */
    readonly _kexinit: Buffer | undefined;
    /** Payloads that wait for a key exchange to end. */
    readonly _queue: readonly Buffer[] | undefined;
    _kex: KeyExchange | undefined;
    readonly _server: boolean;
    _offer: KexInit;
    /** Called with the peer's identification, when `_decipher` is there. */
    _onHeader: (header: unknown) => void;
    _skipNextInboundPacket: boolean;
    readonly _packetRW: {
      readonly write: {
        readonly allocStart: number;
        readonly allocStartKEX: number;
        alloc(length: number, evenInKeyExchange?: boolean): Buffer;
        finalize(packet: Buffer, evenInKeyExchange?: boolean): Buffer;
      };
    };
  }
}

declare module "ssh2/lib/protocol/kex.js" {
  interface Direction {
    readonly cipher: readonly string[];
    readonly mac: readonly string[];
    readonly compress: readonly string[];
    readonly lang: readonly string[];
  }

  class KexInit {
    constructor(offer: {
      readonly kex: readonly string[];
      readonly serverHostKey: readonly string[];
      readonly cs: Direction;
      readonly sc: Direction;
    });
    readonly lists: { readonly kex: { readonly array: readonly string[]; readonly buffer: Buffer } };
  }
  const kex: { KexInit: typeof KexInit };

  export type { KexInit };
  export default kex;
}

declare module "ssh2/lib/protocol/crypto.js" {
  const crypto: {
    /** Whether the native add-on was built and loaded. */
    readonly bindingAvailable: boolean;
    /** Settles when the fallback for the add-on is ready. */
    readonly init: Promise<void>;
  };
  export default crypto;
}

declare module "ssh2/lib/protocol/utils.js" {
  import type Protocol from "ssh2/lib/protocol/Protocol.js";

  const utils: {
    /** Encrypts and writes a packet, or queues it while keys are exchanged unless `bypass` is set. */
    sendPacket(protocol: Protocol, packet: Buffer, bypass?: boolean): boolean;
  };
  export default utils;
}

declare module "ssh2/lib/protocol/constants.js" {
  const constants: {
    readonly SUPPORTED_CIPHER: readonly string[];
    readonly SUPPORTED_KEX: readonly string[];
    readonly SUPPORTED_MAC: readonly string[];
    readonly SUPPORTED_SERVER_HOST_KEY: readonly string[];
  };
  export default constants;
}
