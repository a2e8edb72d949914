import { describe, expect, it } from "vitest";
import { isolations, killedBy, openPlace, run, status } from "./place.ts";

describe.each(isolations)("programs, isolation %s", (isolation) => {
  it("gives the exit status, output and errors apart", async () => {
    const place = await openPlace({ settings: { isolation } });
    expect(await run(place, "echo out; echo err >&2; exit 7")).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      exit: status(7),
    });
  });
  it("tells death by a signal from a status that looks like it", async () => {
    const place = await openPlace({ settings: { isolation } });
    expect((await run(place, "kill -TERM $$")).exit).toEqual(killedBy("TERM"));
    expect((await run(place, "exit 143")).exit).toEqual(status(143));
    expect((await run(place, "kill -KILL $$")).exit).toEqual(killedBy("KILL"));
  });
});
