/** How much room words take, without a browser: the widths of Helvetica's glyphs, which Arial and Liberation Sans share. */

/** Sizes in CSS pixels. */
export const FONT = { title: 13, row: 12, label: 12 } as const;
export const LINE_HEIGHT = { title: 18, row: 15, label: 14 } as const;

/** Thousandths of the font size, from space to tilde. */
const WIDTHS = [
  278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
  556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
  500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
  556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
  278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
const OTHER_WIDTH = 1000;
/** Other fonts than these are a little wider. */
const SLACK = 1.14;

export const widthOf = (text: string, fontSize: number, bold = false): number => {
  const thousandths = [...text].reduce(
    (sum, letter) => sum + (WIDTHS[(letter.codePointAt(0) ?? 0) - 32] ?? OTHER_WIDTH),
    0,
  );
  return (thousandths / 1000) * fontSize * SLACK * (bold ? 1.1 : 1);
};

/** Breaks words into lines of at most `columns` letters where that is possible. */
export const wrapped = (text: string, columns: number): readonly string[] => {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
};
