/** The inspector's page: what the daemon does right now, and what it did. */
import { render } from "preact";
import { App } from "./app.tsx";
import "./style/base.css";
import "./style/shell.css";
import "./style/overview.css";
import "./style/connections.css";
import "./style/replay.css";

const root = document.getElementById("page");
if (root !== null) render(<App />, root);
