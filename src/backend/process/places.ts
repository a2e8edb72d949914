/** Where the programs of a connection keep their files. */
import type { FurnishedPlacement } from "../../../machines/process.ts";
import type { FilePlaces } from "./files.ts";
import { sharedPaths } from "./sandbox-view.ts";

/** Seen by sandboxed programs only: without isolation, /tmp is everybody's. */
const TEMPORARY = "/tmp";

export const placesOf = ({ home, isolated }: FurnishedPlacement): FilePlaces => {
  const { directory, hostDirectory, workspace, account } = home;
  const atHome = { host: hostDirectory, seenAs: directory };
  if (!isolated) return { roots: [atHome], elsewhere: undefined, account };
  return {
    roots: [atHome, { host: workspace.temporary, seenAs: TEMPORARY }],
    elsewhere: {
      host: workspace.files,
      shared: sharedPaths,
      own: [directory, TEMPORARY, "/var/tmp", "/etc/passwd", "/etc/group", "/proc", "/dev", "/sys"],
    },
    account,
  };
};
