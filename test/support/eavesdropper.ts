/** Hears everything an inspector ever says, to look for what must not be in it. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { WebSocket } from "ws";
import { SUBPROTOCOL } from "../../src/inspect/format.ts";
import { run } from "./command.ts";
import { type Daemon, ENTRY } from "./daemon.ts";
import { type InspectorClient, openInspector } from "./inspector.ts";
import { directory } from "./resources.ts";

/** Text that occurs nowhere by chance; it can be a password, a value, a name, a part of a session. */
export const mark = (what: string): string => `${what}-${randomBytes(12).toString("hex")}`;

export const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Hears both languages of the WebSocket and asks for all that can be asked for. */
export class Eavesdropper {
  readonly #inspector: InspectorClient;
  readonly #sockets: WebSocket[] = [];
  readonly #heard: string[] = [];

  private constructor(inspector: InspectorClient) {
    this.#inspector = inspector;
  }

  static async at(daemon: Daemon): Promise<Eavesdropper> {
    const eavesdropper = new Eavesdropper(await openInspector(daemon));
    for (const subprotocols of [[], [SUBPROTOCOL]]) {
      const socket = await eavesdropper.#inspector.connect(subprotocols);
      socket.on("message", (data) => eavesdropper.#heard.push(String(data)));
      eavesdropper.#sockets.push(socket);
    }
    return eavesdropper;
  }

  /** Everything the inspector said until now, as one text. */
  async everything(): Promise<string> {
    const { connections, request, link } = this.#inspector;
    const rows = await connections();
    const paths = ["/api/connections", "/api/daemon", "/api/statistics"];
    const answers = await Promise.all(
      [...paths, ...rows.map(({ id }) => `/api/connections/${id}`)].map(async (path) =>
        (await request(path)).text(),
      ),
    );
    // Followed by the page, too.
    const followed = new Promise<void>((resolve) => {
      this.#sockets.at(-1)?.on("message", (data) => String(data).startsWith('{"type":"trace"') && resolve());
    });
    this.#sockets.at(-1)?.send(JSON.stringify({ type: "follow", connectionId: rows.at(-1)?.id }));
    await followed;
    await using home = await directory();
    const output = join(home.path, "trace.json");
    const saved = await run(process.execPath, [
      ENTRY,
      "trace",
      rows.at(-1)?.reference ?? "",
      "--inspector",
      link,
      "--output",
      output,
    ]);
    expect(saved.code).toBe(0);
    return [...this.#heard, ...answers, await readFile(output, "utf8")].join("\n");
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

/** The text, and how it looks in base64, in hexadecimal and in JSON. */
const shapesOf = (secret: string): readonly string[] => [
  secret,
  base64(secret).replace(/=+$/, ""),
  Buffer.from(secret).toString("hex"),
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
];

/** Fails with those of the secrets that were said. */
export const expectNothingOf = (secrets: readonly string[], said: string): void => {
  const found = secrets.filter((secret) => shapesOf(secret).some((shape) => said.includes(shape)));
  expect(found).toEqual([]);
};
