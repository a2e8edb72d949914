/** Values that machines carry, for tests of machines. */

import { Redacted } from "effect";
import type { ConnectionDefaults } from "../../../machines/daemon-facts.ts";
import type { Identity, PasswordCredential, PublicKeyCredential } from "../../../machines/facts.ts";
import { noAdditions } from "../../../src/metadata.ts";
import "../../../src/ssh/credentials.ts";

export const identityOf = (username: string): Identity => ({
  connectionId: "c1",
  remoteAddress: "127.0.0.1:1",
  clientVersion: "SSH-2.0-test",
  username,
  authenticatedUsername: username,
  ...noAdditions,
});

export const passwordOf = (password: string): PasswordCredential => ({
  method: "password",
  password: Redacted.make(password),
});

export const publicKeyOf = ({ signed }: { readonly signed: boolean }): PublicKeyCredential => ({
  method: "publickey",
  algorithm: "ssh-ed25519",
  fingerprint: "SHA256:abc",
  signed,
  key: "ssh-ed25519 AAAA",
  verify: () => true,
});

/** A server that asks for passwords, with time enough for everything. */
export const connectionDefaults: ConnectionDefaults = {
  methods: ["password"],
  kerberosMethods: [],
  attemptLimit: 6,
  authorizes: false,
  loginGraceMillis: 60_000,
  interactiveGraceMillis: 60_000,
  reportMillis: 1000,
  closeTimeoutMillis: 60_000,
  releaseTimeoutMillis: 60_000,
};
