/**
 * The statechart of one actor, as `npm run diagrams` has drawn it: active states are lit, the path so far is drawn,
 * and an actor that a state has invoked opens in place.
 */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { type ActorSeen, type Replay, standingOf } from "./replay.ts";
import { spoken } from "./words.ts";

/** Diagrams by file name; undefined while they are fetched, null when there is none. */
const diagrams = signal<ReadonlyMap<string, SVGSVGElement | null>>(new Map());
const asked = new Set<string>();
let hasStyle = false;

/** `deviceFlow` is drawn in `device-flow.svg`. */
const fileOf = (machine: string): string => machine.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const ask = async (file: string): Promise<void> => {
  if (asked.has(file)) return;
  asked.add(file);
  const response = await fetch(`./diagrams/${file}.svg`).catch(() => undefined);
  const svg = response?.ok ? parsed(await response.text()) : null;
  diagrams.value = new Map(diagrams.value).set(file, svg);
};

/** The page's policy allows no style in a document: the diagrams' own, the same in all, goes into a sheet of its own. */
const parsed = (text: string): SVGSVGElement => {
  const [element = "", style = ""] = /<style>([\s\S]*?)<\/style>/.exec(text) ?? [];
  if (style !== "" && !hasStyle) {
    hasStyle = true;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    document.adoptedStyleSheets.push(sheet);
  }
  const { documentElement } = new DOMParser().parseFromString(text.replace(element, ""), "image/svg+xml");
  const svg = documentElement as unknown as SVGSVGElement;
  svg.querySelector("title")?.remove();
  svg.removeAttribute("aria-labelledby");
  return svg;
};

export interface ChartProps {
  readonly replay: Replay;
  readonly actor: ActorSeen;
  /** The number of the entry up to which is shown. */
  readonly moment: number;
}

export const Chart = ({ replay, actor, moment }: ChartProps) => {
  const machine = actor.machine ?? "";
  const file = fileOf(machine);
  const box = useRef<HTMLDivElement>(null);
  const opened = useSignal<ReadonlySet<string>>(new Set());
  const diagram = diagrams.value.get(file);
  const standing = standingOf(replay, actor, moment);
  const words = `${spoken(machine)} is ${standing.status === "active" ? "in" : `${standing.status}, in`} ${
    innermost(standing.active)
      .map((id) => spoken(id.split(".").at(-1) ?? ""))
      .join(" and ") || "no state yet"
  }`;

  useEffect(() => void ask(file), [file]);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || diagram === undefined || diagram === null) return;
    const svg = diagram.cloneNode(true) as SVGSVGElement;
    svg.setAttribute("role", "group");
    element.replaceChildren(svg);
  }, [diagram]);

  useLayoutEffect(() => {
    const svg = box.current?.querySelector("svg");
    if (!svg) return;
    svg.setAttribute("aria-label", `Statechart: ${words}`);
    for (const state of svg.querySelectorAll("[data-state]")) {
      state.classList.toggle("active", standing.active.has(state.getAttribute("data-state") ?? ""));
    }
    for (const transition of svg.querySelectorAll("[data-transition]")) {
      const id = transition.getAttribute("data-transition") ?? "";
      transition.classList.toggle("taken", standing.taken.has(id));
      transition.classList.toggle("last", standing.last.has(id));
    }
    for (const link of svg.querySelectorAll<SVGAElement>("a[data-machine]")) {
      const child = childOf(actor, link, replay, moment);
      link.classList.toggle("absent", child === undefined);
      if (child === undefined) {
        link.removeAttribute("href");
        link.removeAttribute("aria-expanded");
      } else {
        link.setAttribute("href", `#${child.id}`);
        link.setAttribute("aria-expanded", String(opened.value.has(child.id)));
      }
      link.onclick = (event) => {
        event.preventDefault();
        event.stopPropagation();
        if (child === undefined) return;
        const next = new Set(opened.value);
        if (!next.delete(child.id)) next.add(child.id);
        opened.value = next;
      };
    }
    scrollIntoView(svg, innermost(standing.active));
  }, [diagram, moment, replay, opened.value]);

  if (diagram === null) {
    return (
      <p class="no-diagram">
        There is no diagram of this machine. <b>{words}.</b>
      </p>
    );
  }
  const width = diagram?.viewBox.baseVal.width ?? 600;
  return (
    <figure class="chart" style={{ "--natural": `${width}px` }}>
      <div ref={box} class="chart-drawing" />
      {actor.children
        .filter((child) => opened.value.has(child.id) && hasBegun(child, replay, moment))
        .map((child) => (
          <section
            key={child.id}
            class="nested"
            aria-label={spoken(child.name)}
            style={placeOf(box.current, child)}
          >
            <header>
              <h2>{spoken(child.name)}</h2>
              <button
                type="button"
                class="icon-button"
                aria-label={`Close ${spoken(child.name)}`}
                onClick={() => {
                  const next = new Set(opened.value);
                  next.delete(child.id);
                  opened.value = next;
                }}
              >
                ×
              </button>
            </header>
            <Chart replay={replay} actor={child} moment={moment} />
          </section>
        ))}
      <p class="hidden" role="status">
        {words}
      </p>
    </figure>
  );
};

/** Those of the active states in which no other is active. */
const innermost = (active: ReadonlySet<string>): readonly string[] =>
  [...active].filter((id) => ![...active].some((other) => other.startsWith(`${id}.`)));

const hasBegun = (actor: ActorSeen, { entries }: Replay, moment: number): boolean =>
  actor.startedAt <= (entries[moment]?.at ?? 0);

/** The latest actor that the link's state has invoked. */
const childOf = (actor: ActorSeen, link: Element, replay: Replay, moment: number): ActorSeen | undefined =>
  actor.children
    .filter(({ machine }) => machine !== undefined && fileOf(machine) === link.getAttribute("data-machine"))
    .filter((child) => hasBegun(child, replay, moment))
    .at(-1);

/** Right below the state that invoked it, in parts of the drawing's size. */
const placeOf = (box: HTMLElement | null, child: ActorSeen): Record<string, string> => {
  const svg = box?.querySelector("svg");
  const link = svg?.querySelector<SVGAElement>(`a[data-machine="${fileOf(child.machine ?? "")}"]`);
  if (!svg || !link) return {};
  const { y, height } = link.getBBox();
  return { top: `${((y + height + 10) / svg.viewBox.baseVal.height) * 100}%` };
};

const scrollIntoView = (svg: SVGSVGElement, states: readonly string[]): void => {
  const panel = svg.closest(".chart-panel");
  const state = states[0] === undefined ? null : svg.querySelector(`[data-state="${CSS.escape(states[0])}"]`);
  if (panel === null || state === null || svg.closest(".nested") !== null) return;
  const around = panel.getBoundingClientRect();
  const box = state.getBoundingClientRect();
  const isInSight =
    box.top >= around.top &&
    box.bottom <= around.bottom &&
    box.left >= around.left &&
    box.right <= around.right;
  if (isInSight) return;
  panel.scrollTo({
    top: panel.scrollTop + box.top - around.top - (around.height - box.height) / 2,
    left: panel.scrollLeft + box.left - around.left - (around.width - box.width) / 2,
    behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth",
  });
};
