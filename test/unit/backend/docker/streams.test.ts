/** A program's streams over one connection to the Engine. What only a real Engine shows is in test/docker. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { connect, createServer, type TLSSocket } from "node:tls";
import { describe, expect, it, onTestFinished } from "vitest";
import { Preamble } from "../../../../src/backend/docker/preamble.ts";
import { ProgramStreams } from "../../../../src/backend/docker/streams.ts";
import { certificateAuthority } from "../../../support/certificates.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

/** Docker Engine API, "Stream format": bytes of standard output. */
const frame = (output: string): Buffer => {
  const header = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(output.length, 4);
  return Buffer.concat([header, Buffer.from(output)]);
};

describe("over TLS", () => {
  it("keep output that arrives together with what ends the launcher's words and lets the input's end go", async () => {
    // More than fits into one TLS record (RFC 8446 section 5.1): the rest is there when the first one is read.
    const output = "output\n".repeat(3000);
    const authority = await certificateAuthority(await temporaryDirectory(), "authority");
    const engine = createServer({ ...(await authority.issue("engine")), allowHalfOpen: true }, (socket) => {
      socket.once("data", () => {
        socket.write(Buffer.concat([frame("17\n"), frame(output)]));
      });
      socket.once("end", () => socket.end(frame("more\n")));
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void engine.close());
    await once(engine, "listening");
    const { port } = engine.address() as AddressInfo;
    const socket: TLSSocket = connect({ host: "127.0.0.1", port, ca: authority.cert });
    onTestFinished(() => void socket.destroy());
    await once(socket, "secureConnect");
    const preamble = new Preamble(["line"], false);
    const streams = new ProgramStreams(socket, { raw: false, preamble });
    streams.stdin.end();
    streams.sendToLauncher(Buffer.from("begin"));
    expect(await text(streams.stdout)).toBe(`${output}more\n`);
    expect(preamble.pid).toBe(17);
  });
});
