/** Where lines of a log go: standard output, a file, a syslog socket. */

export interface Destination {
  /** For people: `the file /var/log/berth.log`. */
  readonly description: string;
  /**
   * Writes lines, each with its newline, and says how many of them are out of our hands. Never rejects: what was not
   * written comes with the reason. Called again only after the promise was settled.
   */
  readonly write: (lines: ReadonlyArray<string>) => Promise<Written>;
  /** Opens the destination again (log rotation). If that fails the old one stays in use and the promise rejects. */
  readonly reopen: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface Written {
  readonly lines: number;
  /** Why the others were not written. */
  readonly reason?: Error;
}
