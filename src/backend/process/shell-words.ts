/** Words for /bin/sh that come out as they went in, whatever is in them. */

export const quote = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
