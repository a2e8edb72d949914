/** How message codes are written down. */

/** Codes with their explanations. */
type Explanations = Readonly<Record<string, string>>;

export interface Area {
  readonly title: string;
  /** The reference's, for the same situations. */
  readonly reference: Explanations;
  /** Of situations the reference does not have or does not tell apart. */
  readonly own: Explanations;
}

export const area = <const Reference extends Explanations, const Own extends Explanations>(
  title: string,
  reference: Reference,
  own: Own,
) => ({ title, reference, own }) satisfies Area;
