/** The limit of requests to the API server. */
import { Effect } from "effect";
import { describe, expect, it } from "vitest";
import { Throttle, Throttles } from "../../../../src/backend/kubernetes/throttle.ts";
import { testApi } from "../../../support/kubernetes-api/server.ts";
import { testDaemon } from "../../../support/kubernetes-backend.ts";

describe("a throttle", () => {
  it("takes 0 for the defaults of Kubernetes' own clients", async () => {
    const throttle = new Throttle(0, 0, () => 0);
    const waits: number[] = [];
    for (let taken = 0; taken < 12; taken++) waits.push(await Effect.runPromise(throttle.take));
    expect(waits).toEqual([...Array.from({ length: 10 }, () => 0), 200, 400]);
  });

  it("is the same for whoever is given the same figures for the same API server", () => {
    const throttles = new Throttles();
    const first = throttles.of("https://one/api", 5, 10);
    expect(throttles.of("https://one/api", 5, 10)).toBe(first);
    for (const other of [
      throttles.of("https://two/api", 5, 10),
      throttles.of("https://one/api", 6, 10),
      throttles.of("https://one/api", 5, 11),
    ]) {
      expect(other).not.toBe(first);
    }
  });

  it("is of the whole daemon, and the log says who waited for it", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const connect = (bearerToken: string) =>
      daemon.connect({ connection: { qps: 2, burst: 1, bearerToken } });
    const since = performance.now();
    await Promise.all([connect("one"), connect("two"), connect("three")]);
    const creations = api.requests.filter(({ verb }) => verb === "create");
    expect(new Set(creations.map(({ authorization }) => authorization)).size).toBe(3);
    expect(performance.now() - since).toBeGreaterThan(900);
    const waited = await daemon.log.waitFor("KUBERNETES_THROTTLED");
    expect(waited.details).toMatchObject({ resource: "pods", waitedMillis: expect.any(Number) });
  });
});
