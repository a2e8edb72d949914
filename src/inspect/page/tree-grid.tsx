/**
 * A tree of many lines (WAI-ARIA's treegrid) of which only those in sight are in the document. Arrow keys walk it,
 * right and left open and close a line, Enter goes to what it is about.
 */
import { signal, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface TreeLine {
  readonly key: string;
  readonly kind: "daemon" | "connection" | "actor";
  /** From 1 on. */
  readonly level: number;
  /** Missing for lines that have nothing inside. */
  readonly isExpanded?: boolean;
  readonly isDim?: boolean;
  /** Asked only while the line is in sight: there may be thousands, many times a second. */
  readonly cells: () => Cells;
}

export interface Cells {
  readonly name: preact.ComponentChildren;
  readonly from?: string;
  readonly state: preact.ComponentChildren;
  readonly where?: string;
  readonly age?: string;
  readonly code?: string;
  readonly reference?: string;
}

export interface TreeGridProps {
  readonly label: string;
  readonly lines: readonly TreeLine[];
  readonly onToggle: (line: TreeLine) => void;
  readonly onOpen: (line: TreeLine) => void;
  /** What stands there when there are no lines. */
  readonly empty: string;
}

const narrow = matchMedia("(max-width: 760px)");
const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", ({ matches }) => (isNarrow.value = matches));

const LINE_PIXELS = 38;
const NARROW_LINE_PIXELS = 64;
/** Lines beyond the edges, so that scrolling does not show blanks. */
const BEYOND = 8;

const columns = ["Who", "From", "State", "Where", "Age", "Code", "Reference"];

export const TreeGrid = ({ label, lines, onToggle, onOpen, empty }: TreeGridProps) => {
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const current = useSignal<string | undefined>(undefined);
  /** The first line in sight: it stays where it is when others come and go above it. */
  const anchor = useRef<{ readonly key: string; readonly index: number } | undefined>(undefined);
  const pixels = isNarrow.value ? NARROW_LINE_PIXELS : LINE_PIXELS;

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => (height.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    const element = box.current;
    const kept = anchor.current;
    if (element === null || kept === undefined || element.scrollTop === 0) return;
    const index =
      lines[kept.index]?.key === kept.key ? kept.index : lines.findIndex(({ key }) => key === kept.key);
    if (index !== -1 && index !== kept.index) {
      element.scrollTop += (index - kept.index) * pixels;
      anchor.current = { key: kept.key, index };
    }
  }, [lines, pixels]);

  const scrolled = () => {
    const position = box.current?.scrollTop ?? 0;
    top.value = position;
    const index = Math.floor(position / pixels);
    const line = lines[index];
    anchor.current = line && { key: line.key, index };
  };

  const currentIndex = Math.max(
    0,
    lines.findIndex(({ key }) => key === current.value),
  );
  const moveTo = (index: number) => {
    const line = lines[Math.max(0, Math.min(lines.length - 1, index))];
    const element = box.current;
    if (line === undefined || element === null) return;
    current.value = line.key;
    const head = isNarrow.value ? 0 : LINE_PIXELS;
    const at = lines.indexOf(line) * pixels;
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + pixels + head > element.scrollTop + element.clientHeight) {
      element.scrollTop = at + pixels + head - element.clientHeight;
    }
  };
  const pressed = (event: KeyboardEvent) => {
    const line = lines[currentIndex];
    const page = Math.max(1, Math.floor(height.value / pixels) - 2);
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: current.value === undefined ? 0 : currentIndex + 1,
      ArrowUp: currentIndex - 1,
      PageDown: currentIndex + page,
      PageUp: currentIndex - page,
      Home: 0,
      End: lines.length - 1,
    };
    const target = moves[event.key];
    if (target !== undefined) moveTo(target);
    else if (line === undefined || current.value === undefined) return;
    else if (event.key === "Enter") onOpen(line);
    else if (event.key === "ArrowRight" && line.isExpanded === false) onToggle(line);
    else if (event.key === "ArrowLeft" && line.isExpanded === true) onToggle(line);
    else return;
    event.preventDefault();
  };

  const first = Math.max(0, Math.floor(top.value / pixels) - BEYOND);
  const last = Math.min(lines.length, Math.ceil((top.value + height.value) / pixels) + BEYOND);
  const isActiveInSight = lines.slice(first, last).some(({ key }) => key === current.value);
  return (
    <div
      ref={box}
      class="tree"
      role="treegrid"
      aria-label={label}
      aria-rowcount={lines.length + 1}
      aria-activedescendant={isActiveInSight ? `line-${current.value}` : undefined}
      tabIndex={0}
      onScroll={scrolled}
      onKeyDown={pressed}
      onFocus={() => {
        if (current.value === undefined) moveTo(first);
      }}
    >
      <div role="rowgroup" class="tree-head">
        <div role="row" class="tree-line" aria-rowindex={1}>
          {columns.map((column) => (
            <span key={column} role="columnheader" class={`cell-${column.toLowerCase()}`}>
              {column}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" class="tree-body" style={{ height: `${lines.length * pixels}px` }}>
        {lines.length === 0 && (
          <div role="row" class="tree-empty">
            <span role="gridcell">{empty}</span>
          </div>
        )}
        {lines.slice(first, last).map((line, index) => (
          <Line
            key={line.key}
            line={line}
            number={first + index}
            offset={(first + index) * pixels}
            isCurrent={line.key === current.value}
            onToggle={onToggle}
            onOpen={(opened) => {
              current.value = opened.key;
              onOpen(opened);
            }}
          />
        ))}
      </div>
    </div>
  );
};

interface LineProps extends Pick<TreeGridProps, "onToggle" | "onOpen"> {
  readonly line: TreeLine;
  readonly number: number;
  readonly offset: number;
  readonly isCurrent: boolean;
}

const Line = ({ line, number, offset, isCurrent, onToggle, onOpen }: LineProps) => {
  const cells = line.cells();
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree has the focus, and the keys
    <div
      id={`line-${line.key}`}
      role="row"
      aria-rowindex={number + 2}
      aria-level={line.level}
      aria-expanded={line.isExpanded}
      aria-selected={isCurrent}
      tabIndex={-1}
      class={`tree-line kind-${line.kind}${line.isDim ? " dim" : ""}`}
      style={{ transform: `translateY(${offset}px)` }}
      onClick={() => onOpen(line)}
    >
      <span role="gridcell" class="cell-who" style={{ "--level": String(line.level) }}>
        {line.isExpanded === undefined ? <span class="twist" /> : <Twist line={line} onToggle={onToggle} />}
        {cells.name}
      </span>
      <span role="gridcell" class="cell-from">
        {cells.from}
      </span>
      <span role="gridcell" class="cell-state">
        {cells.state}
      </span>
      <span role="gridcell" class="cell-where" title={cells.where}>
        {cells.where}
      </span>
      <span role="gridcell" class="cell-age">
        {cells.age}
      </span>
      <span role="gridcell" class="cell-code">
        {cells.code}
      </span>
      <span role="gridcell" class="cell-reference">
        {cells.reference}
      </span>
    </div>
  );
};

const Twist = ({ line, onToggle }: Pick<LineProps, "line" | "onToggle">) => (
  // biome-ignore lint/a11y: for the mouse; the keyboard has the arrow keys
  <span
    class={`twist${line.isExpanded ? " open" : ""}`}
    onClick={(event) => {
      event.stopPropagation();
      onToggle(line);
    }}
  >
    <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
      <path
        d="M3 1.5 7 5 3 8.5"
        fill="none"
        stroke="currentColor"
        stroke-width="1.6"
        stroke-linecap="round"
      />
    </svg>
  </span>
);
