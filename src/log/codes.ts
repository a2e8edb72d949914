/**
 * The message codes that Berth logs, by area: what operators grep for and alert on. Codes of the reference mean what
 * they mean there; codes of Berth's own stand apart. Whoever logs a new code adds it here with a line that explains
 * it: the tests look every code of the sources up, and documentation is generated from here.
 */

/** Codes with their explanations. */
type Explanations = Readonly<Record<string, string>>;

export interface Area {
  readonly title: string;
  /** The reference's, for the same situations. */
  readonly reference: Explanations;
  /** Of situations the reference does not have or does not tell apart. */
  readonly own: Explanations;
}

const area = <const Reference extends Explanations, const Own extends Explanations>(
  title: string,
  reference: Reference,
  own: Own,
) => ({ title, reference, own }) satisfies Area;

export const areas = {
  core: area(
    "Core",
    {
      CORE_CONFIG_ERROR: "The configuration has an error, or could not be read.",
      CORE_CONFIG_FILE: "Names the configuration file in use.",
      CORE_CONFIG_CANNOT_WRITE_FILE: "A generated host key could not be stored; it lasts for this run only.",
      CORE_NO_HOST_KEYS: "No host key is configured; one is generated.",
      CORE_HOST_KEY_GENERATION_FAILED: "No host key could be generated, and without one there is no server.",
      CORE_HEALTH_CHECK_FAILED: "The daemon that was asked is not healthy, or did not answer.",
      CORE_HEALTH_CHECK_SUCCESSFUL: "The daemon that was asked is healthy.",
      UNKNOWN_ERROR: "An error that nobody expected: please report it.",
    },
    {},
  ),
  log: area(
    "Log",
    {
      LOG_FILE_OPEN_FAILED: "The log file could not be opened.",
      LOG_ROTATE_FAILED: "The log could not be opened again after SIGHUP; the old one stays in use.",
      LOG_WRITE_FAILED:
        "The log could not be written for a while; in the log itself, says how many lines are missing.",
    },
    {
      LOG_SYSLOG_OPEN_FAILED: "There is no syslog server at the configured socket or address.",
    },
  ),
  services: area(
    "Services",
    {
      SERVICE_STARTING: "One of the daemon's services is starting.",
      SERVICE_RUNNING: "One of the daemon's services is running.",
      SERVICE_STOPPING: "One of the daemon's services is asked to stop.",
      SERVICE_STOPPED: "One of the daemon's services has stopped as asked.",
      SERVICE_CRASHED: "One of the daemon's services has failed.",
      SERVICE_POOL_STARTING: "The daemon is starting its services.",
      SERVICE_POOL_RUNNING: "All services of the daemon are running.",
      SERVICE_POOL_STOPPING: "The daemon is stopping its services.",
      SERVICE_POOL_STOPPED: "All services of the daemon have stopped.",
    },
    {},
  ),
  http: area(
    "HTTP",
    {
      HTTP_LISTEN_FAILED: "An HTTP server could not listen on its address.",
      HTTP_CLIENT_REQUEST: "An HTTP request is sent.",
      HTTP_CLIENT_RESPONSE: "An HTTP server has answered.",
      HTTP_CLIENT_REDIRECT: "An HTTP server sent a redirect, which is followed.",
      HTTP_CLIENT_REDIRECTS_DISABLED:
        "An HTTP server sent a redirect that may not be followed: configure its target as the URL, or allowRedirects.",
      HTTP_CLIENT_CONNECTION_FAILED:
        "An HTTP server could not be reached, broke the connection, or did not answer in time.",
      HTTP_CLIENT_ENCODE_FAILED: "A request could not be written as its format demands: a bug in Berth.",
      HTTP_CLIENT_DECODE_FAILED: "The answer of an HTTP server is not the JSON that was expected.",
      HTTP_SERVER_RESPONSE_WRITE_FAILED: "The client of an HTTP server went away before it had its answer.",
      HTTP_SERVER_ENCODE_FAILED: "One of Berth's HTTP servers failed to make its answer: a bug in Berth.",
    },
    {
      HTTP_CLIENT_RESPONSE_TOO_LARGE: "The answer of an HTTP server is longer than Berth takes.",
      HTTP_CERTIFICATE_INVALID: "A certificate or key of an HTTP client or server cannot be read or used.",
      HTTP_CERTIFICATE_CHANGED:
        "Certificate files of an HTTP client or server have changed and were read again.",
      HTTP_SERVER_FAILED: "An HTTP server failed while it was running.",
      HTTP_SERVER_TLS_FAILED: "A client of an HTTPS server did not complete the TLS handshake.",
    },
  ),
  health: area(
    "Health check",
    {
      HEALTH_AVAILABLE: "The health check endpoint is listening.",
      HEALTH_REQUEST_FAILED: "The health check endpoint could not be asked.",
    },
    {},
  ),
  ssh: area(
    "SSH",
    {
      SSH_AVAILABLE: "The SSH server is listening.",
      SSH_START_FAILED: "The SSH server could not be started.",
      SSH_CONNECTED: "A client has connected.",
      SSH_DISCONNECTED: "A connection has ended.",
      SSH_HANDSHAKE_FAILED: "A client did not get as far as being logged in.",
      SSH_HANDSHAKE_SUCCESSFUL: "A client is logged in.",
      SSH_AUTH_UNAVAILABLE: "A client asked for a way of logging in that is not offered.",
      SSH_AUTH_FAILED: "A client was refused in one try to log in.",
      SSH_AUTH_SUCCESSFUL: "A client has proven who it is.",
      SSH_BACKEND_REJECTED_HANDSHAKE: "The backend refused a user who had logged in.",
      SSH_KEEPALIVE_NORESP: "A client no longer answers and is disconnected.",
      SSH_DECODE_FAILED: "A client sent something that cannot be decoded.",
      SSH_REPLY_SEND_FAILED: "A reply could not be sent, usually because the client is gone.",
      SSH_GLOBAL_REQUEST: "A client sent a global request.",
      SSH_GLOBAL_REQUEST_FAILED: "A global request was answered with failure.",
      SSH_GLOBAL_REQUEST_SUCCESSFUL: "A global request was fulfilled.",
      SSH_UNSUPPORTED_GLOBAL_REQUEST:
        "A client sent a global request that is not supported; this is harmless.",
      SSH_NEW_CHANNEL: "A client has opened a channel.",
      SSH_NEW_CHANNEL_REJECTED: "A client was refused a channel.",
      SSH_UNSUPPORTED_CHANNEL_TYPE: "A client wanted a channel of a type that is not supported.",
      SSH_CHANNEL_REQUEST: "A client sent a request on a channel.",
      SSH_CHANNEL_REQUEST_FAILED: "A request on a channel was answered with failure.",
      SSH_CHANNEL_REQUEST_SUCCESSFUL: "A request on a channel was fulfilled.",
      SSH_NOT_IMPLEMENTED: "The backend cannot do what was requested.",
      SSH_EXIT: "A program has ended, and its exit status goes to the client.",
      SSH_EXIT_SIGNAL: "A program was ended by a signal, which goes to the client.",
      SSH_EXIT_CODE_FAILED: "How a program ended could not be found out or told.",
    },
    {},
  ),
  authentication: area(
    "Authentication",
    {
      AUTH: "A user's credentials are being checked.",
      AUTH_SUCCESSFUL: "A user's credentials were accepted.",
      AUTH_FAILED: "A user's credentials were refused.",
      AUTH_CONFIG_ERROR: "The configuration of authentication has an error.",
      AUTH_BACKEND_ERROR: "The authentication server could not be asked; it is tried again for a while.",
      AUTH_INVALID_STATUS: "The authentication server answered with a status other than 200.",
      AUTH_AVAILABLE: "The test authentication server is listening.",
      AUTH_SERVER_DECODE_FAILED: "The test authentication server received a request it cannot read.",
      AUTH_DISABLED: "A client tried a way of logging in that is switched off.",
      AUTH_UNSUPPORTED: "The configured method cannot do the way of logging in that the client tried.",
      AUTH_DEPRECATED: "The configuration of authentication uses something deprecated.",
      AUTHZ_FAILED: "The authorization server refused a user who was authenticated.",
    },
    {},
  ),
  configserver: area(
    "Configuration server",
    {
      CONFIG_REQUEST: "The configuration server is asked for a connection's settings.",
      CONFIG_RESPONSE: "The configuration server has answered.",
      CONFIG_BACKEND_ERROR:
        "The configuration server could not be asked or its answer is wrong; it is tried again for a while.",
      CONFIG_INVALID_STATUS_CODE: "The configuration server answered with a status other than 200.",
      CONFIG_SERVER_AVAILABLE: "The test configuration server is listening.",
      CONFIG_AUTH_URL_DEPRECATED: "The configuration still uses auth.url.",
    },
    {},
  ),
  backend: area("Backends", { BACKEND_CONFIG_ERROR: "The backend of a connection is misconfigured." }, {}),
} as const satisfies Readonly<Record<string, Area>>;

type Areas = typeof areas;

/** Every code of the catalogue. */
export type MessageCode = {
  [Name in keyof Areas]: keyof Areas[Name]["reference"] | keyof Areas[Name]["own"];
}[keyof Areas];

const allCodes = Object.values<Area>(areas).flatMap(({ reference, own }) => [
  ...Object.keys(reference),
  ...Object.keys(own),
]);

/** The codes as constants: `codes.AUTH_FAILED`. */
export const codes = Object.fromEntries(allCodes.map((code) => [code, code])) as {
  readonly [Code in MessageCode]: Code;
};
