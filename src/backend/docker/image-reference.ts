/**
 * Names of images as Docker reads them (github.com/distribution/reference): `[registry/]path[:tag][@digest]`. A name
 * with neither tag nor digest means `:latest`.
 */

export interface ImageReference {
  /** Registry and path, as they were written. */
  readonly name: string;
  /** A tag, or `sha256:…`: what a pull asks for. The digest wins over a tag. */
  readonly tag: string;
}

const part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const registry = "(?:[a-zA-Z0-9.-]+|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?";
const REFERENCE = new RegExp(
  `^((?:${registry}/)?${part}(?:/${part})*)(?::([\\w][\\w.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}))?$`,
);
const IMAGE_ID = /^(?:sha256:)?[0-9a-f]{64}$/;

/** Undefined for what is no name of an image. The id of a local image is one, but there is nothing to pull. */
export const parseImageReference = (text: string): ImageReference | "id" | undefined => {
  if (IMAGE_ID.test(text)) return "id";
  const match = REFERENCE.exec(text);
  const name = match?.[1];
  return name === undefined ? undefined : { name, tag: match?.[3] ?? match?.[2] ?? "latest" };
};
