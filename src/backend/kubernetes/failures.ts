/** Everything that can go wrong with a pod, each with its message code and its sentence for the user. */
import { failure } from "../../failure.ts";

/** Berth's own: the API server refused a verb on a resource; both are in the details. */
export class PermissionDenied extends failure(
  "PermissionDenied",
  "KUBERNETES_PERMISSION_DENIED",
  "The server lacks a permission to reach your environment. Please ask your administrator.",
) {}

/** Berth's own: the API server doesn't know who we are. */
export class CredentialsRefused extends failure(
  "CredentialsRefused",
  "KUBERNETES_CREDENTIALS_REFUSED",
  "The server could not identify itself to reach your environment. Please ask your administrator.",
) {}

/** Berth's own: no answer, or one that says to come back later. */
export class ApiUnavailable extends failure(
  "ApiUnavailable",
  "KUBERNETES_API_UNAVAILABLE",
  "Your environment can't be reached at the moment. Please try again later.",
) {}

/** Berth's own: the API server understood and said no. */
export class ApiRefused extends failure(
  "ApiRefused",
  "KUBERNETES_API_REFUSED",
  "Your environment could not be prepared. Please ask your administrator.",
) {}

/** The object is not there. Callers turn it into what that means for them. */
export class ObjectMissing extends failure(
  "ObjectMissing",
  "KUBERNETES_POD_NOT_FOUND",
  "Your environment does not exist any more. Please connect again.",
  "notice",
) {}

/** Somebody else was faster: the name is taken, or the object has changed since it was read. */
export class ObjectConflict extends failure(
  "ObjectConflict",
  "KUBERNETES_CONFLICT",
  "Your environment was changed by somebody else at the same moment. Please connect again.",
) {}

export type ApiFailure =
  | PermissionDenied
  | CredentialsRefused
  | ApiUnavailable
  | ApiRefused
  | ObjectMissing
  | ObjectConflict;

export class ConfigError extends failure(
  "ConfigError",
  "KUBERNETES_CONFIG_ERROR",
  "The server is not configured correctly for your environment. Please ask your administrator.",
) {}

export class PodCreateFailed extends failure(
  "PodCreateFailed",
  "KUBERNETES_POD_CREATE_FAILED",
  "Your environment could not be created. Please ask your administrator.",
) {}

export class PodWaitFailed extends failure(
  "PodWaitFailed",
  "KUBERNETES_POD_WAIT_FAILED",
  "Your environment could not be started. Please ask your administrator.",
) {}

export class ProgramNotStarted extends failure(
  "ProgramNotStarted",
  "KUBERNETES_EXEC_FAILED",
  "Your program could not be started in your environment.",
) {}

/** The program's connection ended and nobody said how the program did. */
export class ExitLost extends failure(
  "ExitLost",
  "KUBERNETES_EXIT_CODE_FAILED",
  "The connection to your program was lost. Please connect again.",
) {}

/** Berth's own: the pod is being deleted, or is deleted already, under a running program. */
export class PodDeleted extends failure(
  "PodDeleted",
  "KUBERNETES_POD_DELETED",
  "Your environment was shut down by the cluster. Please connect again.",
  "notice",
) {}

/** Berth's own: the container ended or was started again under a running program. */
export class ContainerRestarted extends failure(
  "ContainerRestarted",
  "KUBERNETES_CONTAINER_RESTARTED",
  "Your environment was stopped by the cluster and your program with it. Please connect again.",
  "notice",
) {}

/** Berth's own, as the one above. */
export class ContainerOutOfMemory extends failure(
  "ContainerOutOfMemory",
  "KUBERNETES_CONTAINER_OOM",
  "Your environment ran out of memory and was stopped, and your program with it. Please connect again.",
  "notice",
) {}

export class SubsystemNotSupported extends failure(
  "SubsystemNotSupported",
  "KUBERNETES_SUBSYSTEM_NOT_SUPPORTED",
  "This subsystem is not available in your environment.",
  "notice",
) {}

export class SignalFailed extends failure(
  "SignalFailed",
  "KUBERNETES_EXEC_SIGNAL_FAILED",
  "The signal could not be delivered.",
) {}

export class SignalWithoutMeans extends failure(
  "SignalWithoutMeans",
  "KUBERNETES_EXEC_SIGNAL_FAILED_NO_AGENT",
  "The signal could not be delivered: your environment has neither a guest agent nor a shell.",
  "notice",
) {}

export class SignalAfterExit extends failure(
  "SignalAfterExit",
  "KUBERNETES_SIGNAL_FAILED_EXITED",
  "The signal could not be delivered: the program has ended.",
  "notice",
) {}

export class ResizeFailed extends failure(
  "ResizeFailed",
  "KUBERNETES_EXEC_RESIZE_FAILED",
  "The size of the terminal could not be changed.",
) {}

export class FileWriteFailed extends failure(
  "FileWriteFailed",
  "KUBERNETES_FILE_WRITE_FAILED",
  "A file of your login could not be placed in your environment.",
) {}

export class ForwardingFailed extends failure(
  "ForwardingFailed",
  "KUBERNETES_FORWARDING_FAILED",
  "The connection into your environment could not be opened.",
) {}
