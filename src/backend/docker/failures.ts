/**
 * Everything that can go wrong between Berth and a Docker Engine: what the Engine answered, and the failures that
 * users and operators see, with the reference's message codes wherever it has one for the situation.
 */
import { Data } from "effect";
import { type Failure, type FailureFields, failure } from "../../failure.ts";

/** An Engine's answer that is not a success, or no answer at all. */
export class EngineError extends Data.TaggedError("EngineError")<{
  readonly message: string;
  /** The HTTP status of the answer; undefined when there was none. */
  readonly status: number | undefined;
  /** `unreachable`: the connection could not be made or broke off; `silent`: the time for the call ran out. */
  readonly kind: "answered" | "unreachable" | "silent";
  readonly cause?: unknown;
}> {}

const tryAgain = "Please try again in a moment.";
const ask = "Please ask your administrator.";

export class EngineUnreachable extends failure(
  "EngineUnreachable",
  "DOCKER_ENGINE_UNREACHABLE",
  `The server that runs your environment does not answer. ${tryAgain}`,
) {}

export class EngineTooOld extends failure(
  "EngineTooOld",
  "DOCKER_ENGINE_TOO_OLD",
  `The server that runs your environment is outdated. ${ask}`,
) {}

export class ConfigurationUnusable extends failure(
  "ConfigurationUnusable",
  "DOCKER_CONFIG_ERROR",
  `Your environment is not configured correctly. ${ask}`,
) {}

export class ImageLookupFailed extends failure(
  "ImageLookupFailed",
  "DOCKER_IMAGE_LISTING_FAILED",
  `The image of your environment could not be looked up. ${tryAgain}`,
) {}

export class ImagePullFailed extends failure(
  "ImagePullFailed",
  "DOCKER_IMAGE_PULL_FAILED",
  "The image of your environment could not be fetched. Please try again later.",
) {}

export class ContainerLookupFailed extends failure(
  "ContainerLookupFailed",
  "DOCKER_CONTAINER_LOOKUP_FAILED",
  `Your environment could not be looked up. ${tryAgain}`,
) {}

export class ContainerCreateFailed extends failure(
  "ContainerCreateFailed",
  "DOCKER_CONTAINER_CREATE_FAILED",
  `Your environment could not be created. ${ask}`,
) {}

export class ContainerStartFailed extends failure(
  "ContainerStartFailed",
  "DOCKER_CONTAINER_START_FAILED",
  `Your environment could not be started. ${ask}`,
) {}

export class ContainerAttachFailed extends failure(
  "ContainerAttachFailed",
  "DOCKER_CONTAINER_ATTACH_FAILED",
  `Your program could not be started. ${tryAgain}`,
) {}

export class ContainerSignalFailed extends failure(
  "ContainerSignalFailed",
  "DOCKER_CONTAINER_SIGNAL_FAILED",
  "The signal could not be sent to your program.",
  "notice",
) {}

export class ExecCreateFailed extends failure(
  "ExecCreateFailed",
  "DOCKER_EXEC_CREATE_FAILED",
  "Your program could not be started: your environment has stopped. Please connect again.",
) {}

export class ExecAttachFailed extends failure(
  "ExecAttachFailed",
  "DOCKER_EXEC_ATTACH_FAILED",
  `Your program could not be started. ${tryAgain}`,
) {}

export class PidUnreadable extends failure(
  "PidUnreadable",
  "DOCKER_EXEC_PID_READ_FAILED",
  `Your program could not be started. ${tryAgain}`,
) {}

export class ResizeFailed extends failure(
  "ResizeFailed",
  "DOCKER_EXEC_RESIZE_FAILED",
  "The size of your terminal could not be changed.",
  "notice",
) {}

export class SignalFailed extends failure(
  "SignalFailed",
  "DOCKER_EXEC_SIGNAL_FAILED",
  "The signal could not be sent to your program.",
  "notice",
) {}

export class SignalWithoutPid extends failure(
  "SignalWithoutPid",
  "DOCKER_SIGNAL_FAILED_NO_PID",
  "Signals can't be sent in this environment.",
  "notice",
) {}

/** The contact with the Engine was lost while a program ran: how it ends is not known any more. */
export class ExitUnknown extends failure(
  "ExitUnknown",
  "DOCKER_EXIT_CODE_FAILED",
  "The connection to the server that runs your environment was lost. Please connect again.",
) {}

/** The container was stopped or removed under a running program. */
export class ContainerGone extends failure(
  "ContainerGone",
  "DOCKER_CONTAINER_GONE",
  "Your environment was stopped, and your program with it. Please connect again.",
) {}

export class SubsystemMissing extends failure(
  "SubsystemMissing",
  "DOCKER_SUBSYSTEM_NOT_SUPPORTED",
  "This subsystem is not available here.",
  "notice",
) {}

export class FileWriteFailed extends failure(
  "FileWriteFailed",
  "DOCKER_FILE_WRITE_FAILED",
  `Your environment could not be prepared. ${ask}`,
) {}

export class ForwardingUnavailable extends failure(
  "ForwardingUnavailable",
  "DOCKER_FORWARDING_FAILED",
  "Forwarding is not available here.",
  "notice",
) {}

type FailureClass = new (fields: FailureFields) => Failure;

/**
 * Gives an Engine's error the code of what was being done, unless the Engine was not there at all: that has its own.
 *
 * @example Effect.mapError(engine.call(…), explained(ImageLookupFailed, "The image could not be looked up", { image }))
 */
export const explained =
  (Explanation: FailureClass, message: string, details: FailureFields["details"] = {}) =>
  (error: EngineError): Failure => {
    const Actual = error.kind === "answered" ? Explanation : EngineUnreachable;
    return new Actual({
      message: `${message}: ${error.message}`,
      details: error.status === undefined ? details : { ...details, status: error.status },
      cause: error.cause,
    });
  };
