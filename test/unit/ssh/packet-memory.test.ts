import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { Outlet } from "../../../src/ssh/outlet.ts";
import { PacketMemory, Padding } from "../../../src/ssh/packet-memory.ts";

describe("packet memory", () => {
  test("nothing that is being written is given away", () => {
    const memory = new PacketMemory();
    const inFlight: { readonly bytes: Buffer; readonly mark: number }[] = [];
    let random = 1;
    const next = (below: number): number => {
      random = (random * 48_271) % 2_147_483_647;
      return random % below;
    };
    for (let mark = 0; mark < 50_000; mark++) {
      const bytes = memory.allocate(1 + next(40_000));
      bytes.fill(mark % 251);
      memory.writing(bytes);
      inFlight.push({ bytes, mark });
      while (inFlight.length > next(40)) {
        const [{ bytes: oldest, mark: expected }] = inFlight.splice(next(inFlight.length), 1) as [
          (typeof inFlight)[number],
        ];
        const value = expected % 251;
        expect([oldest[0], oldest.at(-1), oldest[oldest.length >> 1]]).toEqual([value, value, value]);
        memory.written(oldest);
      }
    }
  });

  test("what was written is used again", () => {
    const memory = new PacketMemory();
    const buffers = new Set<ArrayBufferLike>();
    for (let count = 0; count < 1000; count++) {
      const bytes = memory.allocate(30_000);
      memory.writing(bytes);
      buffers.add(bytes.buffer);
      memory.written(bytes);
    }
    expect(buffers.size).toBe(1);
  });

  test("a packet that is never written does not keep its memory", () => {
    const memory = new PacketMemory();
    const buffers = new Set<ArrayBufferLike>();
    for (let count = 0; count < 1000; count++) buffers.add(memory.allocate(30_000).buffer);
    expect(buffers.size).toBe(1);
  });

  test("a packet of any size gets memory", () => {
    const memory = new PacketMemory();
    const huge = memory.allocate(2 ** 20);
    memory.writing(huge);
    memory.written(huge);
    expect(huge).toHaveLength(2 ** 20);
  });
});

test("padding is never the same twice", () => {
  const padding = new Padding();
  const seen = new Set<string>();
  const packet = Buffer.alloc(40, 7);
  for (let count = 0; count < 2000; count++) {
    padding.fill(packet, 10, 16);
    seen.add(packet.toString("hex", 10, 26));
  }
  expect(seen.size).toBe(2000);
  expect([packet[9], packet[26]]).toEqual([7, 7]);
});

/** Counts what is under way. */
class CountingMemory extends PacketMemory {
  writes = 0;

  override writing(bytes: Uint8Array): void {
    this.writes++;
    super.writing(bytes);
  }

  override written(bytes: Uint8Array): void {
    this.writes--;
    super.written(bytes);
  }
}

const socketPair = async (): Promise<readonly [Socket, Socket]> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = connect(Number(Object(server.address()).port), "127.0.0.1");
  const [accepted] = (await once(server, "connection")) as [Socket];
  server.close();
  for (const socket of [client, accepted]) socket.on("error", () => {});
  onTestFinished(() => {
    client.destroy();
    accepted.destroy();
  });
  return [client, accepted];
};

describe("the outlet", () => {
  test("sends what is written in its order, and gives the memory back", async () => {
    const [client, socket] = await socketPair();
    const memory = new CountingMemory();
    const outlet = new Outlet(socket, memory);
    const sent: Buffer[] = [];
    for (let count = 0; count < 300; count++) {
      const bytes = count % 7 === 0 ? Buffer.alloc(count, count) : memory.allocate(count * 10).fill(count);
      sent.push(Buffer.from(bytes));
      outlet.write(bytes);
      if (count % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    outlet.flush();
    socket.end();
    const received: Buffer[] = [];
    for await (const chunk of client) received.push(chunk as Buffer);
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
    expect(memory.writes).toBe(0);
  });

  test("gives the memory back when the client is gone", async () => {
    const [client, socket] = await socketPair();
    const memory = new CountingMemory();
    const outlet = new Outlet(socket, memory);
    client.pause();
    for (let count = 0; count < 400; count++) {
      outlet.write(memory.allocate(32_000));
      if (count % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(memory.writes).toBeGreaterThan(0);
    expect(outlet.isFull).toBe(true);
    outlet.write(memory.allocate(100));
    socket.destroy();
    await once(socket, "close");
    outlet.write(memory.allocate(100));
    await new Promise((resolve) => setImmediate(resolve));
    expect(memory.writes).toBe(0);
  });
});
