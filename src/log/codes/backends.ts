/** The codes of the places programs run in. */
import { area } from "./area.ts";

export const backend = area(
  "Backends",
  { BACKEND_CONFIG_ERROR: "The backend of a connection is misconfigured." },
  {},
);

export const docker = area(
  "Docker backend",
  {
    DOCKER_CONFIG_ERROR: "The configuration of the Docker backend has an error.",
    DOCKER_IMAGE_LISTING_FAILED: "It could not be found out whether the image is present.",
    DOCKER_IMAGE_PULL_FAILED: "The image could not be pulled.",
    DOCKER_CONTAINER_CREATE: "A container is being created.",
    DOCKER_CONTAINER_CREATE_FAILED: "A container could not be created.",
    DOCKER_CONTAINER_START: "A container is being started.",
    DOCKER_CONTAINER_START_FAILED: "A container could not be started.",
    DOCKER_CONTAINER_ATTACH: "A session is being attached to its container.",
    DOCKER_CONTAINER_ATTACH_FAILED: "A session could not be attached to its container.",
    DOCKER_CONTAINER_SIGNAL: "A signal is being sent to a session's container.",
    DOCKER_CONTAINER_SIGNAL_FAILED: "A signal could not be sent to a session's container.",
    DOCKER_CONTAINER_REMOVE: "A container is being removed.",
    DOCKER_CONTAINER_REMOVE_FAILED: "A container could not be removed.",
    DOCKER_CONTAINER_REMOVE_SUCCESSFUL: "A container was removed.",
    DOCKER_EXEC_CREATE: "A program is being prepared in a container.",
    DOCKER_EXEC_CREATE_FAILED: "A program could not be prepared in a container.",
    DOCKER_EXEC_ATTACH: "A program is being started in a container.",
    DOCKER_EXEC_ATTACH_FAILED: "A program could not be started in a container.",
    DOCKER_EXEC_PID_READ_FAILED:
      "The process ID of a program is unknown; usually the image lacks the guest agent that is configured.",
    DOCKER_EXEC_RESIZE: "A program's terminal gets another size.",
    DOCKER_EXEC_RESIZE_FAILED: "The size of a program's terminal could not be changed.",
    DOCKER_EXEC_SIGNAL: "A signal is being sent to a program.",
    DOCKER_EXEC_SIGNAL_SUCCESSFUL: "A signal was sent to a program.",
    DOCKER_EXEC_SIGNAL_FAILED: "A signal could not be sent to a program.",
    DOCKER_SIGNAL_FAILED_NO_PID: "A signal could not be sent because the program's process ID is unknown.",
    DOCKER_EXIT_CODE: "It is being found out how a program ended.",
    DOCKER_EXIT_CODE_FAILED: "It could not be found out how a program ended.",
    DOCKER_SUBSYSTEM_NOT_SUPPORTED: "The image is configured without the subsystem that a client asked for.",
    DOCKER_FILE_WRITE: "A file of the login was written into a container.",
    DOCKER_FILE_WRITE_FAILED: "A file of the login could not be written into a container.",
    DOCKER_FORWARDING_FAILED: "A connection could not be forwarded into a container.",
  },
  {
    DOCKER_ENGINE_UNREACHABLE: "The Docker Engine cannot be reached or does not answer.",
    DOCKER_ENGINE_TOO_OLD: "The Docker Engine speaks only versions of its API that are too old.",
    DOCKER_IMAGE_NOT_PRESENT: "The image is not present, and the pull policy forbids pulling it.",
    DOCKER_CONTAINER_LOOKUP_FAILED: "It could not be found out whether a persistent container exists.",
    DOCKER_CONTAINER_NOT_FOUND: "The persistent container does not exist, and may not be created.",
    DOCKER_CONTAINER_GONE: "A container was stopped or removed under a running program.",
  },
);

export const kubernetes = area(
  "Kubernetes backend",
  {
    KUBERNETES_CONFIG_ERROR: "The configuration of the Kubernetes backend has an error.",
    KUBERNETES_POD_NOT_FOUND: "The pod does not exist, or not any more.",
    KUBERNETES_POD_CREATE_FAILED: "A pod could not be created.",
    KUBERNETES_POD_WAIT_FAILED: "A pod did not get as far as running.",
    KUBERNETES_EXIT_CODE_FAILED: "It could not be found out how a program ended.",
    KUBERNETES_EXEC_RESIZE_FAILED: "The size of a program's terminal could not be changed.",
    KUBERNETES_EXEC_SIGNAL_FAILED: "A signal could not be sent to a program.",
    KUBERNETES_EXEC_SIGNAL_FAILED_NO_AGENT: "A signal could not be sent because the image has no means to.",
    KUBERNETES_SIGNAL_FAILED_EXITED: "A signal came after its program had ended.",
    KUBERNETES_SUBSYSTEM_NOT_SUPPORTED:
      "The pod is configured without the subsystem that a client asked for.",
    KUBERNETES_FILE_WRITE_FAILED: "A file of the login could not be written into a pod.",
    KUBERNETES_FORWARDING_FAILED: "A connection could not be forwarded into a pod.",
  },
  {
    KUBERNETES_API_UNAVAILABLE: "The API server does not answer, or asks to come back later.",
    KUBERNETES_API_REFUSED: "The API server refused a request as such.",
    KUBERNETES_CREDENTIALS_REFUSED: "The API server does not accept the configured credentials.",
    KUBERNETES_PERMISSION_DENIED: "The configured account lacks a permission, which the details name.",
    KUBERNETES_CONFLICT: "Somebody else changed the pod, or took its name, at the same moment.",
    KUBERNETES_THROTTLED: "A request waited notably long for the configured rate limit.",
    KUBERNETES_POD_NOT_RUNNING: "The pod exists, is not running, and may not be replaced.",
    KUBERNETES_POD_DELETED: "A pod was deleted under a running program.",
    KUBERNETES_CONTAINER_RESTARTED: "A container ended or was restarted under a running program.",
    KUBERNETES_CONTAINER_OOM: "A container ran out of memory and was stopped with its programs.",
    KUBERNETES_EXEC_FAILED: "A program could not be started in a pod.",
  },
);

export const localProcess = area(
  "Process backend",
  {},
  {
    PROCESS_NO_ISOLATION: "Programs run without isolation from this machine, and why.",
    PROCESS_ISOLATION_UNAVAILABLE: "Isolation is demanded and not possible on this machine.",
    PROCESS_LIBRARY_UNAVAILABLE: "The library that makes terminals cannot be loaded.",
    PROCESS_HOME_FAILED: "A home directory could not be prepared.",
    PROCESS_FILE_WRITE_FAILED: "A file of the login could not be written.",
    PROCESS_SHELL_NOT_FOUND: "The shell does not exist or cannot be executed.",
    PROCESS_START_FAILED: "A program could not be started.",
    PROCESS_COMMAND_UNUSABLE: "A command is too long, or has a character that no command can have.",
    PROCESS_VARIABLES_REFUSED: "Environment variables that a client or a webhook sent were left out.",
    PROCESS_SUBSYSTEM_NOT_SUPPORTED: "A client asked for a subsystem that is not offered.",
    PROCESS_SFTP_SERVER_NOT_FOUND: "There is no SFTP server on this machine.",
    PROCESS_SIGNAL_FAILED: "A signal could not be sent to a program.",
    PROCESS_RESIZE_FAILED: "The size of a program's terminal could not be changed.",
    PROCESS_FORWARDING_REFUSED: "A connection was to be forwarded to where programs cannot reach.",
    PROCESS_FORWARDING_FAILED: "A connection could not be forwarded: nothing answers.",
    PROCESS_LEFT_BEHIND: "A program outlived every attempt to end it.",
  },
);
