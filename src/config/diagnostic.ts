/** What is wrong or outdated in a configuration, and where. */

/** Keys and list positions from the root. */
export type Path = ReadonlyArray<string | number>;

/** Something wrong at a path, before it is known where in a file that is. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  /** The key that was probably meant. */
  readonly suggestion?: string;
  /** The message code; CORE_CONFIG_ERROR unless the reference has one for it. */
  readonly code?: string;
  /** A warning does not keep Berth from running. */
  readonly severity?: "error" | "warning";
}

/** Something wrong at a place of a file. Lines and columns count from 1; 0 where there is no file. */
export interface Diagnostic {
  readonly code: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `auth.users[0].name`; empty for the document as a whole. */
  readonly path: string;
  readonly message: string;
  readonly suggestion?: string;
}

/** `auth.users[0].name`; keys that hold dots or spaces are quoted. */
export const formatPath = (path: Path): string =>
  path
    .map((step) =>
      typeof step === "number"
        ? `[${step}]`
        : /^[\w-]+$/.test(step)
          ? `.${step}`
          : `[${JSON.stringify(step)}]`,
    )
    .join("")
    .replace(/^\./, "");

/** `berth.yaml:3:5: ssh.lisen: unknown key (did you mean "listen"?)` */
export const formatDiagnostic = (diagnostic: Diagnostic): string => {
  const { file, line, column, path, message } = diagnostic;
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  return `${place}: ${path === "" ? "" : `${path}: `}${message}${didYouMean(diagnostic)}`;
};

/** ` (did you mean "listen"?)`, or nothing. */
export const didYouMean = ({ suggestion }: Pick<Finding, "suggestion">): string =>
  suggestion === undefined ? "" : ` (did you mean "${suggestion}"?)`;

export const samePath = (one: Path, other: Path): boolean =>
  one.length === other.length && startsWith(one, other);

export const startsWith = (path: Path, start: Path): boolean =>
  start.every((step, index) => path[index] === step);
