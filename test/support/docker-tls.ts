/** A real Engine that is spoken to over TLS, with certificates of both sides (dockerd's `--tlsverify`). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Authority, Pair } from "./certificates.ts";
import { startEngine, type TestEngine } from "./docker.ts";
import { freePort } from "./ports.ts";

export interface TlsEngine extends TestEngine {
  /** `127.0.0.1:PORT`; its `host` is still the socket. */
  readonly address: string;
}

/** The certificates' files are kept in `directory`. */
export const startTlsEngine = async (
  directory: string,
  authority: Authority,
  { cert, key }: Pair,
): Promise<TlsEngine> => {
  const port = await freePort();
  const file = (name: string) => join(directory, `${port}-${name}`);
  await writeFile(file("ca"), authority.cert);
  await writeFile(file("cert"), cert);
  await writeFile(file("key"), key);
  const engine = await startEngine([
    ...["--host", `tcp://127.0.0.1:${port}`, "--tlsverify"],
    ...["--tlscacert", file("ca"), "--tlscert", file("cert"), "--tlskey", file("key")],
  ]);
  return { ...engine, address: `127.0.0.1:${port}` };
};
