/**
 * The short reference of a connection: the first digits of its ID. A refused user reads it, and whoever they tell it to
 * finds the connection's lines in the log and its replay in the inspector.
 */

const DIGITS = 8;

export const referenceOf = (connectionId: string): string => connectionId.slice(0, DIGITS);

/** A sentence for the user with the reference after it; nothing to say stays nothing. */
export const withReference = (connectionId: string, sentence: string): string =>
  sentence === "" ? "" : `${sentence} (reference ${referenceOf(connectionId)})`;
