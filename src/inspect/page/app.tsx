/** The frame around every view: where one is, the search, the link to the daemon, files that are dropped. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Trace } from "../format.ts";
import { ConnectionView } from "./connection.tsx";
import { ConnectionsView } from "./connections.tsx";
import { findRow, type Link, link, liveRows, request, signOut } from "./live.ts";
import { Nothing } from "./nothing.tsx";
import { Overview } from "./overview.tsx";
import { traceOfText } from "./replay.ts";
import { ReplayView } from "./replay-view.tsx";
import { go, linkTo, type Route, route } from "./route.ts";
import { SignIn } from "./sign-in.tsx";

/** The trace that was opened from a file. */
const opened = signal<Trace | undefined>(undefined);
const complaint = signal("");

const openFile = async (file: File | undefined): Promise<void> => {
  if (file === undefined) return;
  const trace = traceOfText(await file.text());
  complaint.value = typeof trace === "string" ? trace : "";
  if (typeof trace === "string") return;
  opened.value = trace;
  go({ view: "file" });
};

export const App = () => {
  useEffect(() => {
    const over = (event: DragEvent) => event.preventDefault();
    const drop = (event: DragEvent) => {
      event.preventDefault();
      void openFile(event.dataTransfer?.files[0]);
    };
    addEventListener("dragover", over);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("drop", drop);
    };
  }, []);
  const isSignedIn = link.value === "open" || link.value === "lost";
  const showsFile = route.value.view === "file" && opened.value !== undefined;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <Header isSignedIn={isSignedIn} />
      {complaint.value !== "" && (
        <p class="complaint" role="alert">
          {complaint.value}
          <button type="button" class="plain" onClick={() => (complaint.value = "")}>
            Close
          </button>
        </p>
      )}
      <main id="main" tabIndex={-1} class={`view-${route.value.view}`}>
        {showsFile || isSignedIn ? <View current={route.value} /> : <SignIn openFile={openFile} />}
      </main>
    </>
  );
};

const View = ({ current }: { readonly current: Route }) => {
  switch (current.view) {
    case "overview":
      return <Overview />;
    case "connections":
      return <ConnectionsView filter={current} />;
    case "connection":
      return <ConnectionView key={current.id} id={current.id} atRefusal={current.atRefusal} />;
    case "daemon":
      return <ConnectionView key="daemon" id={undefined} atRefusal={false} />;
    case "file":
      return opened.value === undefined ? (
        <Nothing title="No trace is open" text="Drop a file that `berth trace` has saved onto this page." />
      ) : (
        <ReplayView trace={opened.value} isLive={false} atRefusal={true} source="file" />
      );
  }
};

const Mark = () => (
  <svg class="brand-mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
    <path
      d="M5 5v17a5 5 0 0 0 5 5h12a5 5 0 0 0 5-5V5"
      fill="none"
      stroke="currentColor"
      stroke-width="3.4"
      stroke-linecap="round"
    />
    <circle class="brand-ship" cx="16" cy="13.5" r="5" />
  </svg>
);

const Header = ({ isSignedIn }: { readonly isSignedIn: boolean }) => {
  const { view } = route.value;
  const tab = (to: Route, label: preact.ComponentChildren, isHere: boolean) => (
    <a href={linkTo(to)} aria-current={isHere ? "page" : undefined}>
      {label}
    </a>
  );
  return (
    <header class="top">
      <a class="brand" href="#/">
        <Mark />
        <span>Berth</span>
      </a>
      {isSignedIn && (
        <>
          <nav aria-label="Views">
            {tab({ view: "overview" }, "Overview", view === "overview")}
            {tab(
              { view: "connections", state: "", code: "", text: "" },
              <>
                Connections <span class="badge">{liveRows.value.length}</span>
              </>,
              view === "connections" || view === "connection",
            )}
            {tab({ view: "daemon" }, "Daemon", view === "daemon")}
          </nav>
          <Search />
        </>
      )}
      <div class="top-end">
        <OpenButton />
        <LinkState state={link.value} />
        {isSignedIn && (
          <button type="button" class="plain sign-out" onClick={signOut}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
};

const OpenButton = () => (
  <label class="button open-file">
    <input
      type="file"
      accept=".json,application/json"
      class="hidden"
      onChange={({ currentTarget }) => {
        void openFile(currentTarget.files?.[0]);
        currentTarget.value = "";
      }}
    />
    Open trace
  </label>
);

const linkWords: Readonly<Record<Link, string>> = {
  signedOut: "",
  refused: "",
  connecting: "Connecting",
  open: "Live",
  lost: "Reconnecting",
};

const LinkState = ({ state }: { readonly state: Link }) => (
  <span class={`link-state link-${state}`} role="status">
    {linkWords[state]}
  </span>
);

const searchComplaint = signal("");
const HEXADECIMAL = /^[0-9a-f]{4,32}$/i;

/** A reference opens its replay at the refusal; anything else filters the connections. */
const search = async (given: string): Promise<void> => {
  const text = given.trim();
  searchComplaint.value = "";
  if (text === "") return;
  if (!HEXADECIMAL.test(text)) return go({ view: "connections", state: "", code: "", text });
  const reference = text.toLowerCase();
  const row = findRow(reference);
  if (row !== undefined) return go({ view: "connection", id: row.id, atRefusal: true });
  const response = await request(`./api/connections/${reference}`);
  if (response.ok) {
    const { connection } = (await response.json()) as Trace;
    if (connection !== undefined) return go({ view: "connection", id: connection.id, atRefusal: true });
  }
  searchComplaint.value = `No connection ${text} is kept any more.`;
};

const Search = () => {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const { target } = event;
      const isTyping = target instanceof HTMLElement && target.matches("input, select, textarea");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  return (
    <search>
      <form
        class="search"
        onSubmit={(event) => {
          event.preventDefault();
          void search(input.current?.value ?? "");
        }}
      >
        <input
          ref={input}
          type="text"
          name="reference"
          aria-label="Reference of a refused login, user or address"
          aria-describedby="search-complaint"
          placeholder="Reference, user or address"
          autocomplete="off"
          spellcheck={false}
          onInput={() => (searchComplaint.value = "")}
        />
        <span class="key-hint" aria-hidden="true">
          /
        </span>
        <p id="search-complaint" class="search-complaint" role="alert">
          {searchComplaint.value}
        </p>
      </form>
    </search>
  );
};
