import { Duration, Redacted, Schema } from "effect";
import { describe, expect, it } from "vitest";
import {
  Flag,
  formatListenAddress,
  GoDuration,
  Listen,
  LogLevel,
  listOf,
  parseListenAddress,
  Secret,
} from "../../../src/config/codecs.ts";
import { formatGoDuration, parseGoDuration } from "../../../src/config/go-duration.ts";
import { MaxStartups } from "../../../src/config/sections/ssh.ts";
import { nodeTlsOptions, tlsFields } from "../../../src/config/tls.ts";

const decode = <A>(schema: Schema.Codec<A, unknown>) => Schema.decodeUnknownSync(schema);
const refused = <A>(schema: Schema.Codec<A, unknown>, value: unknown) =>
  expect(() => Schema.decodeUnknownSync(schema)(value));

describe("Go durations", () => {
  const milliseconds: ReadonlyArray<readonly [string, number]> = [
    ["0", 0],
    ["0s", 0],
    ["300ms", 300],
    ["1.5s", 1500],
    [".5s", 500],
    ["1m30s", 90_000],
    ["1h15m30.918s", 4_530_918],
    ["-2s", -2000],
    ["+2s", 2000],
    ["1us", 0.001],
    ["1µs", 0.001],
    ["1μs", 0.001],
    ["1ns", 0.000001],
    ["2562047h", 9_223_369_200_000],
  ];

  it.each(milliseconds)("reads %s", (text, expected) => {
    const duration = parseGoDuration(text);
    expect(duration === undefined ? undefined : Duration.toMillis(duration)).toBeCloseTo(expected, 9);
  });

  it.each(["", "-", "1", "1 s", "s", "1d", "1m30", "1.s.", "1m 30s", "∞", "1e3s", "--1s"])(
    "refuses %j",
    (text) => {
      expect(parseGoDuration(text)).toBeUndefined();
    },
  );

  it.each([
    ["0s", 0],
    ["1ns", 0.000001],
    ["1.1µs", 0.0011],
    ["2.2ms", 2.2],
    ["3.3s", 3300],
    ["1m0s", 60_000],
    ["4m5s", 245_000],
    ["5m6.001s", 306_001],
    ["1h0m0s", 3_600_000],
    ["8m0.000000001s", 480_000.000001],
    ["-1m30s", -90_000],
  ])("writes %s as Go does", (text, ms) => {
    expect(formatGoDuration(Duration.nanos(BigInt(Math.round(ms * 1_000_000))))).toBe(text);
  });

  it("reads a number as nanoseconds", () => {
    expect(decode(GoDuration)(2_000_000_000)).toEqual(Duration.seconds(2));
    expect(decode(GoDuration)("2s")).toEqual(Duration.seconds(2));
  });

  it("says what it expects and not what it got", () => {
    refused(GoDuration, "hunter2").toThrow(
      "expected a duration such as 1m30s or 500ms, or a number of nanoseconds",
    );
    refused(GoDuration, "hunter2").not.toThrow("hunter2");
    refused(GoDuration, true).toThrow("expected a duration");
    refused(GoDuration, Number.POSITIVE_INFINITY).toThrow("expected a duration");
  });
});

describe("log levels", () => {
  it.each(
    ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"].map((name, n) => [name, n]),
  )("reads %s by its name and its number", (name, number) => {
    expect(decode(LogLevel)(name)).toBe(name);
    expect(decode(LogLevel)(number)).toBe(name);
  });

  it.each(["warn", "NOTICE", "", "8", 8, -1, 1.5, null])("refuses %j", (value) => {
    refused(LogLevel, value).toThrow("or a number from 0 (emerg) to 7 (debug)");
  });
});

describe("listen addresses", () => {
  it.each([
    ["0.0.0.0:2222", "0.0.0.0", 2222],
    [":2222", "", 2222],
    ["localhost:0", "localhost", 0],
    ["[::]:65535", "::", 65535],
    ["[fe80::1%eth0]:22", "fe80::1%eth0", 22],
  ])("reads and writes %s", (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
    expect(formatListenAddress({ host, port })).toBe(text);
  });

  it.each(["2222", "0.0.0.0", "::1:22", "a:b", "a:-1", "a:65536", "a:1:2", "[::1]22", "", "http://a:80"])(
    "refuses %j",
    (text) => {
      refused(Listen, text).toThrow("expected an address such as 0.0.0.0:2222 or [::]:2222");
    },
  );
});

describe("flags", () => {
  it.each([true, "yes", "on", "y"])("reads %j as true", (value) => expect(decode(Flag)(value)).toBe(true));
  it.each([false, "no", "off", "n"])("reads %j as false", (value) => expect(decode(Flag)(value)).toBe(false));
  it.each([1, 0, "true", "ja", null])("refuses %j", (value) =>
    refused(Flag, value).toThrow("expected true or false"),
  );
});

describe("lists", () => {
  const list = listOf(Schema.Literals(["a", "b"]));

  it("reads a list and a string with colons", () => {
    expect(decode(list)(["a", "b"])).toEqual(["a", "b"]);
    expect(decode(list)("a:b")).toEqual(["a", "b"]);
  });

  it("shows which item is wrong", () => {
    refused(list, "a:c").toThrow("at [1]");
    refused(list, { a: 1 }).toThrow("expected a list, or a string with colons between the items");
  });
});

describe("secrets", () => {
  it("are redacted from the moment they are decoded", () => {
    const secret = decode(Secret)("hunter2");
    expect(Redacted.value(secret)).toBe("hunter2");
    expect(JSON.stringify({ secret })).not.toContain("hunter2");
    expect(String(secret)).not.toContain("hunter2");
  });
});

describe("maxStartups", () => {
  it.each([
    ["100:30:1000", { start: 100, ratePercent: 30, full: 1000 }],
    ["10:100:10", { start: 10, ratePercent: 100, full: 10 }],
    ["20", { start: 20, ratePercent: 100, full: 20 }],
    [20, { start: 20, ratePercent: 100, full: 20 }],
  ])("reads %j", (written, limits) => {
    expect(decode(MaxStartups)(written)).toEqual(limits);
    expect(decode(MaxStartups)(Schema.encodeSync(MaxStartups)(limits))).toEqual(limits);
  });

  it.each(["0", "10:30:5", "10:0:20", "10:101:20", "10:30", "a", -1, 1.5])("refuses %j", (written) => {
    refused(MaxStartups, written).toThrow("expected start:rate:full such as 100:30:1000, or one number");
  });
});

describe("TLS options", () => {
  const Tls = Schema.Struct(tlsFields);

  it("takes cipher suites by their IANA, OpenSSL and GnuTLS names", () => {
    const names = [
      "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
      "ECDHE-RSA-AES256-GCM-SHA384",
      "TLS_ECDHE_RSA_AES_256_GCM_SHA384",
    ];
    expect(decode(Tls)({ cipher: names }).cipher).toEqual(Array(3).fill(names[0]));
    expect(decode(Tls)({ cipher: "ECDHE-ECDSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256" }).cipher).toEqual([
      "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
      "TLS_AES_128_GCM_SHA256",
    ]);
  });

  it("takes curves by either name", () => {
    expect(decode(Tls)({ curves: "X25519:prime256v1" }).curves).toEqual(["x25519", "secp256r1"]);
  });

  it.each([
    [{ cipher: ["TLS_RSA_WITH_RC4_128_MD5"] }, "expected a cipher suite"],
    [{ curves: ["secp256k1"] }, "expected a curve: one of x25519, secp256r1, secp384r1, secp521r1"],
    [{ tlsVersion: "1.1" }, "expected one of 1.2, 1.3"],
  ])("refuses %j", (options, message) => {
    refused(Tls, options).toThrow(message);
  });

  it("are given to Node.js by OpenSSL's names", () => {
    expect(nodeTlsOptions(decode(Tls)({ tlsVersion: "1.2", curves: "secp256r1:x25519" }))).toEqual({
      minVersion: "TLSv1.2",
      ecdhCurve: "prime256v1:X25519",
      ciphers:
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
    });
  });
});
