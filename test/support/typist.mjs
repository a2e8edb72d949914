/**
 * Somebody at two terminals, on two servers, who types into both at the same moment and waits for both echoes.
 * usage: node typist.mjs USERNAME PRIVATE_KEY_FILE PORT:PID PORT:PID
 * Prints `typing` when it begins; when its input ends, the times of the echoes in milliseconds: pairs, as JSON. What a
 * server, or this process, has waited for a processor meanwhile is the machine's doing, and not counted.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connected } from "./built-client.mjs";

const { HostKey } = await import("../../dist/src/ssh/host-key.js");

const PAUSE_MILLIS = 10;
const [, , username, keyFile, ...servers] = process.argv;
const privateKey = HostKey.read(await readFile(keyFile, "utf8"));

/** How long a process's main thread has waited for a processor, in milliseconds (proc_pid_schedstat). */
const waited = (pid) =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;

const terminalOn = async (server) => {
  const [port, pid] = server.split(":");
  const client = await connected(Number(port));
  await client.authenticate({ username, privateKey });
  const channel = await client.open("session");
  const size = [80, 24, 0, 0].map((uint32) => ({ uint32 }));
  await channel.request("pty-req", "xterm", ...size, "");
  await channel.request("exec", "cat");
  channel.exit.then(() => {
    throw new Error(`the terminal on ${port} is gone`);
  });
  return { data: channel.data, pid };
};

const echo = async ({ data, pid }) => {
  const uncounted = () => waited(pid) + waited(process.pid);
  const begun = performance.now() - uncounted();
  data.write("x");
  await once(data, "data");
  return performance.now() - uncounted() - begun;
};

const terminals = await Promise.all(servers.map(terminalOn));
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
