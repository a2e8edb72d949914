/** The codes of the daemon itself and of what it is reached and watched by. */
import { area } from "./area.ts";

export const core = area(
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
);

export const log = area(
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
);

export const services = area(
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
  {
    SERVICE_LISTENER_LOST:
      "The socket that a service listened on was closed by somebody else: it is opened again.",
  },
);

export const http = area(
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
);

export const inspect = area(
  "Inspector",
  {},
  {
    INSPECT_AVAILABLE: "The inspector is listening.",
    INSPECT_REFUSED: "Somebody asked the inspector without its token, or with another.",
    INSPECT_TOO_SLOW:
      "Somebody who looks at the inspector does not read what they are sent, and is disconnected.",
    INSPECT_DISCONNECT: "Somebody at the inspector ended a connection.",
    INSPECT_PAGE_MISSING: "The inspector's page is not part of this build.",
    INSPECT_TRACE_FAILED: "A trace could not be fetched or saved.",
  },
);

export const health = area(
  "Health check",
  {
    HEALTH_AVAILABLE: "The health check endpoint is listening.",
    HEALTH_REQUEST_FAILED: "The health check endpoint could not be asked.",
  },
  {},
);
