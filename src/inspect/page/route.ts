/** Which view is shown: the part of the address after `#`, so that every view has a link and "back" works. */
import { signal } from "@preact/signals";

export type Route =
  | { readonly view: "overview" }
  | { readonly view: "connections"; readonly state: string; readonly code: string; readonly text: string }
  /** `atRefusal` opens the replay at the step that refused. */
  | { readonly view: "connection"; readonly id: string; readonly atRefusal: boolean }
  | { readonly view: "daemon" }
  /** A trace that was opened from a file. */
  | { readonly view: "file" };

const parse = (hash: string): Route => {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [what = "", id = ""] = path.split("/");
  const parameters = new URLSearchParams(query);
  if (what === "connections" && id !== "") {
    return { view: "connection", id: decodeURIComponent(id), atRefusal: parameters.has("refusal") };
  }
  if (what === "connections") {
    const of = (name: string) => parameters.get(name) ?? "";
    return { view: "connections", state: of("state"), code: of("code"), text: of("text") };
  }
  return what === "daemon" || what === "file" ? { view: what } : { view: "overview" };
};

export const linkTo = (route: Route): string => {
  switch (route.view) {
    case "connection":
      return `#/connections/${encodeURIComponent(route.id)}${route.atRefusal ? "?refusal" : ""}`;
    case "connections": {
      const { state, code, text } = route;
      const given = Object.entries({ state, code, text }).filter(([, value]) => value !== "");
      return given.length === 0 ? "#/connections" : `#/connections?${new URLSearchParams(given)}`;
    }
    case "overview":
      return "#/";
    default:
      return `#/${route.view}`;
  }
};

const token = new URLSearchParams(location.hash.slice(1)).get("token");

/** The token of a link that was printed; it leaves the address at once. */
export const tokenOfLink: string | undefined = token ?? undefined;
if (token !== null) history.replaceState(undefined, "", "#/");

export const route = signal<Route>(parse(location.hash));

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

export const go = (to: Route): void => {
  location.hash = linkTo(to);
};

/** The same without an entry of its own in the history: for filters that change with every key. */
export const replace = (to: Route): void => {
  history.replaceState(undefined, "", linkTo(to));
  route.value = to;
};
