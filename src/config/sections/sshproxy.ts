/** The `sshproxy` section (documentation of the reference: The SSH proxy backend), and Berth's own `jumpHosts`. */
import { Schema, SchemaGetter } from "effect";
import { defaulted, Flag, GoDuration, listOf, oneOf, Secret, SecretPem } from "../codecs.ts";
import { cipherList, defaultCiphers, defaultKex, Identification, kexAlgorithms, macs } from "./ssh.ts";

/** In the reference's order. What follows `ssh-ed25519` is Berth's own, and not in the default. */
const hostKeyAlgorithms = [
  "ssh-rsa-cert-v01@openssh.com",
  "ssh-dss-cert-v01@openssh.com",
  "ecdsa-sha2-nistp256-cert-v01@openssh.com",
  "ecdsa-sha2-nistp384-cert-v01@openssh.com",
  "ecdsa-sha2-nistp521-cert-v01@openssh.com",
  "ssh-ed25519-cert-v01@openssh.com",
  "ssh-rsa",
  "ssh-dss",
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "rsa-sha2-512",
  "rsa-sha2-256",
] as const;

const Fingerprint = Schema.String.check(
  Schema.makeFilter((text) =>
    /^SHA256:[A-Za-z0-9+/]{43}=?$/.test(text)
      ? undefined
      : "expected a fingerprint such as SHA256:…, as ssh-keygen -l prints it",
  ),
).pipe(
  Schema.decode({
    decode: SchemaGetter.transform((text) => text.replace(/=$/, "")),
    encode: SchemaGetter.passthrough(),
  }),
);

/** 0 means the default, as in the reference. */
const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }));

/**
 * A server on the way, and how to log in there.
 *
 * - `usernamePassThrough`: the connecting user's name is used; `username` otherwise.
 * - `privateKey`: PEM or OpenSSH's format, or the path of a file with it; tried before `password`.
 * - `allowedHostKeyFingerprints`: any other host key is refused, before anything secret is sent. None: nothing is dialed.
 */
const hop = {
  server: defaulted(Schema.String, ""),
  port: defaulted(Port, 22),
  usernamePassThrough: defaulted(Flag, false),
  username: defaulted(Schema.String, ""),
  password: defaulted(Secret, ""),
  privateKey: defaulted(SecretPem, ""),
  allowedHostKeyFingerprints: defaulted(Schema.Array(Fingerprint), []),
};

export const SshProxyHop = Schema.Struct(hop);

export type SshProxyHop = typeof SshProxyHop.Type;

/**
 * - `ciphers`, `kex`, `macs`, `hostKeyAlgos`: what is offered to every server on the way.
 * - `timeout`: all of dialing, retries, key exchange and login has to fit into it.
 * - `clientVersion`: the identification string that servers see.
 * - `jumpHosts`: servers through which `server` is reached, one after another. Berth's own.
 */
export const SshProxy = Schema.Struct({
  ...hop,
  ciphers: defaulted(cipherList, defaultCiphers),
  kex: defaulted(listOf(oneOf(kexAlgorithms)), defaultKex),
  macs: defaulted(listOf(oneOf(macs)), macs.slice(0, 2)),
  // The reference's documentation has the other name, its code this one.
  hostKeyAlgos: defaulted(
    listOf(oneOf(hostKeyAlgorithms), { alsoSpelt: ["hostKeyAlgorithms"] }),
    hostKeyAlgorithms.slice(0, 9),
  ),
  timeout: defaulted(GoDuration, "60s"),
  clientVersion: defaulted(Identification, "SSH-2.0-ContainerSSH"),
  jumpHosts: defaulted(Schema.Array(SshProxyHop), []),
});

export type SshProxy = typeof SshProxy.Type;
