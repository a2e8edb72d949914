/**
 * A crowd of clients that connect at once, log in at once with a password, and each run `true`.
 * usage: node crowd.mjs PORT COUNT USERNAME PASSWORD
 * Prints a line for each: that they wait for an answer, that the first one is in, how many programs ended well.
 */
import { Redacted } from "effect";
import { connected } from "./built-client.mjs";

const [, , port, count, username, password] = process.argv;
const clients = await Promise.all(Array.from({ length: Number(count) }, () => connected(Number(port))));

const asked = performance.now();
let isAnybodyIn = false;
const logins = clients.map(async (client) => {
  await client.authenticate({ username, password: Redacted.make(password) });
  if (!isAnybodyIn) console.log("one is in");
  isAnybodyIn = true;
  const channel = await client.open("session");
  channel.data.resume();
  await channel.request("exec", "true");
  return await channel.exit;
});
console.log("all wait");
const exits = await Promise.all(logins);
const seconds = (performance.now() - asked) / 1000;
console.log(JSON.stringify({ seconds, ended: exits.filter((exit) => exit?.status === 0).length }));
process.exit(0);
