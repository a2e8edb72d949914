/**
 * Somebody at two terminals, on two servers, who types into both at the same moment and waits for both echoes.
 * usage: node typist.mjs USERNAME PRIVATE_KEY_FILE PORT PORT
 * Prints `typing` when it begins; when its input ends, the times of the echoes in milliseconds: pairs, as JSON.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connected } from "./built-client.mjs";

const { HostKey } = await import("../../dist/src/ssh/host-key.js");

const PAUSE_MILLIS = 10;
const [, , username, keyFile, ...ports] = process.argv;
const privateKey = HostKey.read(await readFile(keyFile, "utf8"));

const terminalOn = async (port) => {
  const client = await connected(Number(port));
  await client.authenticate({ username, privateKey });
  const channel = await client.open("session");
  const size = [80, 24, 0, 0].map((uint32) => ({ uint32 }));
  await channel.request("pty-req", "xterm", ...size, "");
  await channel.request("exec", "cat");
  channel.exit.then(() => {
    throw new Error(`the terminal on ${port} is gone`);
  });
  return channel.data;
};

const echo = async (terminal) => {
  const typed = performance.now();
  terminal.write("x");
  await once(terminal, "data");
  return performance.now() - typed;
};

const terminals = await Promise.all(ports.map(terminalOn));
await Promise.all(terminals.map(echo));
console.log("typing");
let isOver = false;
process.stdin.resume().once("end", () => {
  isOver = true;
});
const pairs = [];
while (!isOver) {
  pairs.push(await Promise.all(terminals.map(echo)));
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
}
console.log(JSON.stringify(pairs));
process.exit(0);
