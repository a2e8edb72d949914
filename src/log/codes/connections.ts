/** The codes of connections: their protocol, their logins, what they may do. */
import { area } from "./area.ts";

export const ssh = area(
  "SSH",
  {
    SSH_AVAILABLE: "The SSH server is listening.",
    SSH_START_FAILED: "The SSH server could not be started.",
    SSH_CONNECTED: "A client has connected.",
    SSH_DISCONNECTED: "A connection has ended.",
    SSH_HANDSHAKE_FAILED: "A client and the server did not agree on keys and ciphers.",
    SSH_HANDSHAKE_SUCCESSFUL: "A client is logged in.",
    SSH_AUTH_UNAVAILABLE: "A client asked for a way of logging in that is not offered.",
    SSH_AUTH_FAILED: "A client was refused in one try to log in.",
    SSH_AUTH_SUCCESSFUL: "A client has proven who it is.",
    SSH_BACKEND_REJECTED_HANDSHAKE:
      "The backend refused a user who had logged in; a line of the backend's own says why.",
    SSH_KEEPALIVE_NORESP: "A client no longer answers and is disconnected.",
    SSH_DECODE_FAILED: "A client sent something that cannot be decoded.",
    SSH_GLOBAL_REQUEST: "A client sent a global request.",
    SSH_GLOBAL_REQUEST_FAILED: "A global request was answered with failure.",
    SSH_GLOBAL_REQUEST_SUCCESSFUL: "A global request was fulfilled.",
    SSH_UNSUPPORTED_GLOBAL_REQUEST: "A client sent a global request that is not supported; this is harmless.",
    SSH_NEW_CHANNEL: "A client has opened a channel.",
    SSH_NEW_CHANNEL_REJECTED: "A client was refused a channel.",
    SSH_UNSUPPORTED_CHANNEL_TYPE: "A client wanted a channel of a type that is not supported.",
    SSH_CHANNEL_REQUEST: "A client sent a request on a channel.",
    SSH_CHANNEL_REQUEST_FAILED: "A request on a channel was answered with failure.",
    SSH_CHANNEL_REQUEST_SUCCESSFUL: "A request on a channel was fulfilled.",
    SSH_NOT_IMPLEMENTED: "The backend cannot do what was requested.",
    SSH_EXIT: "A program has ended, and its exit status goes to the client.",
    SSH_EXIT_SIGNAL: "A program was ended by a signal, which goes to the client.",
  },
  {
    SSH_KEX_COMPLETED: "A client and the server have agreed on keys and ciphers.",
    SSH_LOGIN_GRACE_EXPIRED:
      "A client was not logged in within ssh.loginGraceTime, and nobody but the client was waited for.",
    SSH_STARTUPS_EXCEEDED: "A connection was turned away because too many others have not logged in yet.",
    SSH_STARTING_UP: "A connection was turned away because the daemon is still starting.",
    SSH_ACCEPT_FAILED: "A client could not be accepted, usually because too many files are open.",
    SSH_OPEN_FILES_LOW:
      "The process may open too few files for as many connections as ssh.maxStartups lets in.",
    SSH_SHUTTING_DOWN: "A connection was refused or ended because the daemon is stopping.",
    SSH_RELEASE_FAILED: "What a connection had used was not given back in time.",
    SSH_STREAM_FAILED: "The bytes between a channel and its program stopped flowing.",
    SSH_NO_NATIVE_CRYPTO: "Native cryptography is missing, which makes transfers several times slower.",
    SSH_ML_KEM: "Which implementation of ML-KEM takes part in post-quantum key exchanges.",
    SSH_HOST_KEY_EXPOSED: "A host key's file can be read by others than its owner.",
  },
);

export const authentication = area(
  "Authentication",
  {
    AUTH: "A user's credentials are being checked.",
    AUTH_SUCCESSFUL: "A user's credentials were accepted.",
    AUTH_FAILED: "A user's credentials were refused.",
    AUTH_CONFIG_ERROR: "The configuration of authentication has an error.",
    AUTH_BACKEND_ERROR: "The authentication server could not be asked; it is tried again for a while.",
    AUTH_INVALID_STATUS: "The authentication server answered with a status other than 200.",
    AUTHZ_FAILED: "The authorization server refused a user who was authenticated.",
  },
  {},
);

export const configserver = area(
  "Configuration server",
  {
    CONFIG_REQUEST: "The configuration server is asked for a connection's settings.",
    CONFIG_RESPONSE: "The configuration server has answered.",
    CONFIG_BACKEND_ERROR:
      "The configuration server could not be asked or its answer is wrong; it is tried again for a while.",
    CONFIG_INVALID_STATUS_CODE: "The configuration server answered with a status other than 200.",
    CONFIG_AUTH_URL_DEPRECATED: "The configuration still uses auth.url.",
  },
  { CONFIG_LISTEN_DEPRECATED: "The configuration still has listen at its top level." },
);

export const security = area(
  "Security",
  {
    SECURITY_SHELL_REJECTED: "The security settings forbid shells.",
    SECURITY_EXEC_REJECTED: "The security settings forbid a command.",
    SECURITY_EXEC_FORCING_COMMAND: "The security settings replace what a client wanted to run.",
    SECURITY_SUBSYSTEM_REJECTED: "The security settings forbid a subsystem.",
    SECURITY_TTY_REJECTED: "The security settings forbid terminals.",
    SECURITY_ENV_REJECTED: "The security settings forbid an environment variable.",
    SECURITY_SIGNAL_REJECTED: "The security settings forbid a signal.",
    SECURITY_MAX_SESSIONS: "A connection has as many sessions as the security settings allow.",
    SECURITY_FORWARDING_REJECTED: "The security settings forbid forwarding connections into the environment.",
    SECURITY_REVERSE_FORWARDING_REJECTED:
      "The security settings forbid forwarding connections to the client.",
    SECURITY_X11_FORWARDING_REJECTED: "The security settings forbid forwarding X11.",
  },
  {},
);
