/** The labels of what Berth creates on an Engine: whose it is, for operators, and for daemons that clean up. */
import type { Identity } from "../../../machines/facts.ts";
import { encodeWhereabouts, type Instance } from "./instance.ts";

/** Every container and volume of Berth's has this label: nothing without it is ever removed. */
export const INSTANCE = "berth_instance";
export const WHEREABOUTS = "berth_whereabouts";
export const MODE = "berth_mode";
const AUTHENTICATED_USERNAME = "berth_authenticated_username";

/** The reference's. */
export const CONNECTION_ID = "containerssh_connection_id";
/** The number of the session channel a container was made for. */
export const CHANNEL = "berth_channel";
const IP = "containerssh_ip";
const USERNAME = "containerssh_username";

export const instanceLabels = ({ id, whereabouts }: Instance): Readonly<Record<string, string>> => ({
  [INSTANCE]: id,
  ...(whereabouts === undefined ? {} : { [WHEREABOUTS]: encodeWhereabouts(whereabouts) }),
});

/** For a container that belongs to one connection. */
export const connectionLabels = (
  instance: Instance,
  mode: string,
  { connectionId, remoteAddress, username, authenticatedUsername }: Identity,
): Readonly<Record<string, string>> => ({
  [CONNECTION_ID]: connectionId,
  [IP]: addressOf(remoteAddress),
  [USERNAME]: username,
  [AUTHENTICATED_USERNAME]: authenticatedUsername,
  [MODE]: mode,
  ...instanceLabels(instance),
});

/** For a container that outlives connections: nothing of the one that happened to create it but the user's name. */
export const persistentLabels = (
  instance: Instance,
  { authenticatedUsername }: Identity,
): Readonly<Record<string, string>> => ({
  [AUTHENTICATED_USERNAME]: authenticatedUsername,
  [MODE]: "persistent",
  ...instanceLabels(instance),
});

/** `address:port` without the port, an IPv6 address without its brackets. */
const addressOf = (remoteAddress: string): string =>
  remoteAddress.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
