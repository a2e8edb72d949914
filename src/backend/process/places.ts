/** Where the programs of a connection keep their files. */
import type { FurnishedPlacement } from "../../../machines/process.ts";
import type { FilePlaces } from "./files.ts";
import { sharedPaths } from "./sandbox-view.ts";

const taken = [...sharedPaths, "/etc/passwd", "/etc/group", "/var/tmp", "/proc", "/dev", "/sys"];

export const placesOf = ({ home, isolated }: FurnishedPlacement): FilePlaces => {
  const { directory, hostDirectory, workspace, account } = home;
  const atHome = { host: hostDirectory, seenAs: directory };
  // Without isolation, everything but the home is everybody's.
  if (!isolated) return { roots: [atHome], taken: [], elsewhere: undefined, account };
  return {
    roots: [
      atHome,
      { host: workspace.temporary, seenAs: "/tmp" },
      { host: workspace.configuration, seenAs: "/etc" },
    ],
    taken,
    elsewhere: workspace.files,
    account,
  };
};
