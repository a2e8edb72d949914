import { describe, expect, it } from "vitest";
import type { Level } from "../../../machines/facts.ts";
import { createLogger, type Entry } from "../../../src/log/entry.ts";
import type { Detail } from "../../../src/log/logger.ts";

const collecting = (threshold: Level) => {
  const entries: Entry[] = [];
  return { logger: createLogger(threshold, (entry) => entries.push(entry)), entries };
};

const levels: ReadonlyArray<Level> = [
  "emerg",
  "alert",
  "crit",
  "error",
  "warning",
  "notice",
  "info",
  "debug",
];

describe("a logger", () => {
  it.each(levels)("at %s lets through what is at least as severe", (threshold) => {
    const { logger, entries } = collecting(threshold);
    for (const level of levels) logger.log(level, "TEST", "");
    logger.debug("TEST", "method");
    logger.info("TEST", "method");
    logger.notice("TEST", "method");
    logger.warning("TEST", "method");
    logger.error("TEST", "method");
    const passing = levels.slice(0, levels.indexOf(threshold) + 1);
    expect(entries.filter(({ message }) => message === "").map(({ level }) => level)).toEqual(passing);
    expect(entries.filter(({ message }) => message === "method").map(({ level }) => level)).toEqual(
      passing.slice(3).reverse(),
    );
  });

  it("does nothing with the details of a filtered message", () => {
    const { logger } = collecting("notice");
    const details = {
      get expensive(): Detail {
        throw new Error("looked at");
      },
    };
    logger.debug("TEST", "", details);
    logger.with({ connectionId: "1" }).log("info", "TEST", "", details);
    expect(() => logger.error("TEST", "", details)).toThrow("looked at");
  });

  it("puts its labels on every line, before the details and stronger than they are", () => {
    const { logger, entries } = collecting("debug");
    const connection = logger.with({ connectionId: "1" }).with({ username: "jane" });
    connection.info("TEST", "", { username: "eve", attempts: 2 });
    connection.with({ username: "joan" }).info("TEST", "");
    logger.info("TEST", "");
    expect(entries.map(({ details }) => Object.entries(details))).toEqual([
      [
        ["connectionId", "1"],
        ["username", "jane"],
        ["attempts", 2],
      ],
      [
        ["connectionId", "1"],
        ["username", "joan"],
      ],
      [],
    ]);
  });

  it("keeps its labels with another threshold", () => {
    const { logger, entries } = collecting("error");
    const verbose = logger.with({ connectionId: "1" }).at("debug");
    verbose.debug("TEST", "seen");
    logger.debug("TEST", "not seen");
    expect(entries).toMatchObject([{ message: "seen", level: "debug", details: { connectionId: "1" } }]);
  });
});
