/** URLs of HTTP clients: how a path is added to one, and what a log may say of one. */

/** What a log may say of a URL: no user name, no password, no query. */
export const urlForLog = (url: string): string => {
  if (!URL.canParse(url)) {
    return "";
  }
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
};

/**
 * A path appended to a configured URL, as the reference does it: literally. Only the doubled slash between a URL that
 * ends in one and a path that begins with one is left out.
 */
export const appended = (url: string, path: string): string =>
  url.endsWith("/") && path.startsWith("/") ? `${url}${path.slice(1)}` : `${url}${path}`;
