/** What can go wrong with programs on this machine. The codes are Berth's own: the reference has no such backend. */
import { failure } from "../../failure.ts";

const ASK = "Please ask your administrator.";

export class LibraryUnavailable extends failure(
  "LibraryUnavailable",
  "PROCESS_LIBRARY_UNAVAILABLE",
  `Programs cannot be run on this server. ${ASK}`,
) {}

export class HomeFailed extends failure(
  "HomeFailed",
  "PROCESS_HOME_FAILED",
  `Your home directory could not be prepared. ${ASK}`,
) {}

export class FileWriteFailed extends failure(
  "FileWriteFailed",
  "PROCESS_FILE_WRITE_FAILED",
  `The files of your login could not be prepared. ${ASK}`,
) {}

export class StartFailed extends failure(
  "StartFailed",
  "PROCESS_START_FAILED",
  `Your program could not be started. ${ASK}`,
) {}

export class CommandUnusable extends failure(
  "CommandUnusable",
  "PROCESS_COMMAND_UNUSABLE",
  "Your command is too long or contains a character that no command can have.",
  "notice",
) {}

export class SubsystemUnknown extends failure(
  "SubsystemUnknown",
  "PROCESS_SUBSYSTEM_NOT_SUPPORTED",
  "This server does not offer the subsystem you asked for.",
  "notice",
) {}

export class SftpServerMissing extends failure(
  "SftpServerMissing",
  "PROCESS_SFTP_SERVER_NOT_FOUND",
  `File transfer is not available on this server. ${ASK}`,
) {}

export class SignalFailed extends failure(
  "SignalFailed",
  "PROCESS_SIGNAL_FAILED",
  "The signal could not be sent to your program.",
  "notice",
) {}

export class ResizeFailed extends failure(
  "ResizeFailed",
  "PROCESS_RESIZE_FAILED",
  "The size of your terminal could not be changed.",
  "notice",
) {}

export class ForwardingRefused extends failure(
  "ForwardingRefused",
  "PROCESS_FORWARDING_REFUSED",
  "Connections to this address are not possible from your environment.",
  "notice",
) {}

export class ForwardingFailed extends failure(
  "ForwardingFailed",
  "PROCESS_FORWARDING_FAILED",
  "Nothing answers at this address in your environment.",
  "notice",
) {}
