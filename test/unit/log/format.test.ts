import { Redacted } from "effect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Level } from "../../../machines/facts.ts";
import type { Entry } from "../../../src/log/entry.ts";
import { formatLine, formatSyslog, maximumLineBytes } from "../../../src/log/format.ts";

const entry = (overrides: Partial<Entry> = {}): Entry => ({
  time: Date.UTC(2024, 0, 2, 15, 4, 5, 999),
  level: "info",
  code: "SSH_CONNECTED",
  message: "Client connected",
  details: {},
  ...overrides,
});

const zone = process.env.TZ;

beforeEach(() => {
  process.env.TZ = "UTC";
});

afterEach(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

describe("ljson", () => {
  it("has the fields of the reference in its order", () => {
    const details = { connectionId: "ab12", attempts: 3, sensitive: false };
    expect(formatLine("ljson", entry({ details }))).toBe(
      '{"timestamp":"2024-01-02T15:04:05Z","level":"info","code":"SSH_CONNECTED","message":"Client connected","details":{"connectionId":"ab12","attempts":3,"sensitive":false}}\n',
    );
  });

  it("has details also when there are none", () => {
    expect(formatLine("ljson", entry({ details: { absent: undefined } }))).toBe(
      '{"timestamp":"2024-01-02T15:04:05Z","level":"info","code":"SSH_CONNECTED","message":"Client connected","details":{}}\n',
    );
  });

  it("writes local time with its offset", () => {
    process.env.TZ = "Asia/Kolkata";
    expect(formatLine("ljson", entry())).toContain('"timestamp":"2024-01-02T20:34:05+05:30"');
    process.env.TZ = "America/New_York";
    expect(formatLine("ljson", entry())).toContain('"timestamp":"2024-01-02T10:04:05-05:00"');
  });

  it.each<Level>(["debug", "info", "notice", "warning", "error", "crit", "alert", "emerg"])(
    "names the level %s as the reference does",
    (level) => {
      expect(JSON.parse(formatLine("ljson", entry({ level }))).level).toBe(level);
    },
  );

  it("stays one line of plain characters with the same values, whatever the values hold", () => {
    const username = 'eve\n{"level":"info"}\u001b[2J\u0085\u009b31m\u202egnp\u2028\u200b\ud800\u007f"\\';
    const line = formatLine("ljson", entry({ message: username, details: { username, [username]: 1 } }));
    expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    expect(JSON.parse(line)).toMatchObject({ message: username, details: { username, [username]: 1 } });
  });

  it("keeps a detail called __proto__ a detail", () => {
    const details = JSON.parse('{"__proto__":"x"}');
    expect(formatLine("ljson", entry({ details }))).toContain('"details":{"__proto__":"x"}');
  });

  it("never writes what is redacted, the inside of an object, or a number JSON does not have", () => {
    const details: Record<string, never> = Object.assign({}, {
      password: Redacted.make("hunter2"),
      labelled: Redacted.make("hunter2", { label: "password" }),
      object: { password: "hunter2" },
      ratio: Number.NaN,
    } as unknown as Record<string, never>);
    expect(formatLine("ljson", entry({ details }))).toContain(
      '"details":{"password":"<redacted>","labelled":"<redacted>","object":"<object>","ratio":"NaN"}',
    );
  });

  it("writes an error's stack at level debug only", () => {
    const cause = new TypeError("no such thing");
    const at = (level: Level) => JSON.parse(formatLine("ljson", entry({ level, details: { cause } })));
    expect(at("info").details.cause).toBe("TypeError: no such thing");
    expect(at("emerg").details.cause).toBe("TypeError: no such thing");
    expect(at("debug").details.cause).toContain("format.test.ts");
  });
});

describe("text", () => {
  it("is time, level and message with tabs between, and has the code", () => {
    expect(formatLine("text", entry())).toBe(
      "2024-01-02T15:04:05Z\tinfo\tClient connected (code=SSH_CONNECTED)\n",
    );
  });

  it("has the details in parentheses behind the message", () => {
    const details = { username: "jane", remoteAddress: "[2001:db8::1]:4022", attempts: 3, absent: undefined };
    expect(formatLine("text", entry({ details }))).toBe(
      "2024-01-02T15:04:05Z\tinfo\tClient connected (code=SSH_CONNECTED username=jane remoteAddress=[2001:db8::1]:4022 attempts=3)\n",
    );
  });

  it("lets nobody forge a line, a field or a detail", () => {
    const username = "eve\n2024-01-02T15:04:06Z\tinfo\tUser root logged in";
    expect(formatLine("text", entry({ message: `Failed for ${username}`, details: { username } }))).toBe(
      "2024-01-02T15:04:05Z\tinfo\tFailed for eve\\n2024-01-02T15:04:06Z\\tinfo\\tUser root logged in" +
        ' (code=SSH_CONNECTED username="eve\\n2024-01-02T15:04:06Z\\tinfo\\tUser root logged in")\n',
    );
    const details = { username: "eve remoteAddress=10.0.0.1) (ok", remoteAddress: "192.0.2.1:1" };
    expect(formatLine("text", entry({ details }))).toContain(
      '(code=SSH_CONNECTED username="eve remoteAddress=10.0.0.1) (ok" remoteAddress=192.0.2.1:1)\n',
    );
  });

  it("writes terminal controls, hidden and direction-changing characters as escapes", () => {
    const username = "\u001b]0;owned\u0007\r\u009b31mad\u200bmin\u202e";
    expect(formatLine("text", entry({ message: username, details: { username, empty: "" } }))).toBe(
      "2024-01-02T15:04:05Z\tinfo\t\\u001b]0;owned\\u0007\\r\\u009b31mad\\u200bmin\\u202e" +
        ' (code=SSH_CONNECTED username="\\u001b]0;owned\\u0007\\r\\u009b31mad\\u200bmin\\u202e" empty="")\n',
    );
  });

  it("leaves the letters of all languages alone", () => {
    const details = { username: "björn", name: "ジェーン🚢" };
    expect(formatLine("text", entry({ details }))).toContain(
      "(code=SSH_CONNECTED username=björn name=ジェーン🚢)",
    );
  });
});

describe("syslog", () => {
  const header = { facility: 4, tag: "ContainerSSH[42]" };

  it("has priority, RFC 3164 time and tag; ljson without what the header says", () => {
    const details = { username: "jane" };
    expect(formatSyslog("ljson", header, entry({ details }))).toBe(
      '<38>Jan  2 15:04:05 ContainerSSH[42]: {"code":"SSH_CONNECTED","message":"Client connected","details":{"username":"jane"}}\n',
    );
  });

  it("has the text behind the header", () => {
    const details = { username: "eve\n<0>forged" };
    expect(formatSyslog("text", { facility: 23, tag: "berth" }, entry({ level: "emerg", details }))).toBe(
      '<184>Jan  2 15:04:05 berth: Client connected (code=SSH_CONNECTED username="eve\\n<0>forged")\n',
    );
  });

  it("names every month and pads only days below ten", () => {
    const names = Array.from({ length: 12 }, (_, month) =>
      formatSyslog("text", header, entry({ time: Date.UTC(2024, month, 12) })).slice(4, 19),
    );
    expect(names).toEqual(
      "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ").map((name) => `${name} 12 00:00:00`),
    );
  });
});

describe("long values", () => {
  it("are cut and say how long they were", () => {
    const { details } = JSON.parse(
      formatLine("ljson", entry({ details: { username: "a".repeat(1_000_000) } })),
    );
    expect(details.username).toBe(`${"a".repeat(4096)}… (1000000 characters)`);
  });

  it.each([
    ["control characters", "\u0000"],
    ["wide characters", "語"],
    ["emoji", "🚢"],
    ["quotes", '"'],
  ])("fit into a line of bounded bytes: %s", (_name, character) => {
    const long = character.repeat(10_000);
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`${index}${long}`, long]));
    for (const details of [{ username: long }, { username: long, command: long, variable: long }, many]) {
      for (const format of ["ljson", "text"] as const) {
        const line = formatLine(format, entry({ message: long, details }));
        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(maximumLineBytes);
        expect(line.indexOf("\n")).toBe(line.length - 1);
        if (format === "ljson") expect(JSON.parse(line).code).toBe("SSH_CONNECTED");
      }
    }
  });
});
