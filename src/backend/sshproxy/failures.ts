/** What can go wrong between Berth and the servers behind it. */
import { failure } from "../../failure.ts";

const LATER = "Please try again later.";
const ASK = "Please ask your administrator.";

/** Nobody who speaks SSH could be reached: the machine dials again. */
export class ServerUnreachable extends failure(
  "ServerUnreachable",
  "SSHPROXY_BACKEND_FAILED",
  `The server behind this one cannot be reached. ${LATER}`,
) {}

export class HandshakeFailed extends failure(
  "HandshakeFailed",
  "SSHPROXY_BACKEND_HANDSHAKE_FAILED",
  `The server behind this one broke off the connection. ${LATER}`,
) {}

export class LoginRefused extends failure(
  "LoginRefused",
  "SSHPROXY_BACKEND_HANDSHAKE_FAILED",
  `The server behind this one does not let you in. ${ASK}`,
) {}

export class KeyUnusable extends failure(
  "KeyUnusable",
  "SSHPROXY_KEY_UNUSABLE",
  `Your environment is not configured correctly. ${ASK}`,
) {}

export class ConnectionLost extends failure(
  "ConnectionLost",
  "SSHPROXY_BACKEND_DISCONNECTED",
  "The connection to the server behind this one was lost. Please connect again.",
) {}

export class SessionRefused extends failure(
  "SessionRefused",
  "SSHPROXY_BACKEND_SESSION_FAILED",
  "The server behind this one does not open another session.",
  "notice",
) {}

export class ProgramRefused extends failure(
  "ProgramRefused",
  "SSHPROXY_BACKEND_REQUEST_FAILED",
  "The server behind this one does not run what you asked for.",
  "notice",
) {}

/** The channel was closed without an exit status. */
export class ExitUnknown extends failure(
  "ExitUnknown",
  "SSHPROXY_BACKEND_SESSION_CLOSED",
  "The server behind this one did not say how your program ended.",
  "notice",
) {}

export class SignalFailed extends failure(
  "SignalFailed",
  "SSHPROXY_BACKEND_SIGNAL_FAILED",
  "The signal could not be sent to your program.",
  "notice",
) {}

export class ForwardingFailed extends failure(
  "ForwardingFailed",
  "SSHPROXY_BACKEND_FORWARD_FAILED",
  "The server behind this one does not connect to that address.",
  "notice",
) {}
