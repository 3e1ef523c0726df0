import assert from "node:assert/strict";
import { test } from "node:test";
import { age, clockFraction, count, dayTime, fullTime, parts, percent, perTime, plural, quantity, rateNumber, rateScale, scaled, since, type Unit, unitOf } from "@kit/format";

/** Thin spaces are written as plain ones in the tables below. */
const plain = (text: string) => text.replaceAll("\u202f", " ");

test("counts are in full up to 99,999", () => {
  const table: [number | null | undefined, string][] = [
    [0, "0"], [7, "7"], [1204, "1,204"], [99_999, "99,999"], [100_000, "100 k"], [1_204_880, "1.2 M"], [999_600, "1 M"], [3.4e9, "3.4 G"], [null, "–"], [undefined, "–"], [Number.NaN, "–"], [Number.POSITIVE_INFINITY, "–"],
  ];
  for (const [value, expected] of table) assert.equal(plain(count(value)), expected, String(value));
});

test("scaled numbers have three significant digits", () => {
  const table: [number, string][] = [
    [0, "0"], [0.0434, "0.0434"], [46.53, "46.5"], [1234, "1.23 k"], [999.6, "1 k"], [-2.5, "−2.5"], [0.00001234, "1.2e−5"], [12, "12"],
  ];
  for (const [value, expected] of table) assert.equal(plain(scaled(value)), expected, String(value));
});

test("rates have the unit that suits them and no powers of ten", () => {
  const table: [number | null | undefined, string][] = [
    [0, "0/s"], [1234, "1.23 k/s"], [2, "2/s"], [0.1, "0.1/s"], [0.0999, "5.99/min"], [0.0456, "2.74/min"], [0.1 / 60, "0.1/min"], [6e-5, "0.216/h"], [1e-7, "<0.001/h"], [null, "–"], [undefined, "–"], [Number.NaN, "–"],
  ];
  for (const [value, expected] of table) assert.equal(plain(perTime(value)), expected, String(value));
  const scale = rateScale(0.05);
  assert.deepEqual([0, 0.05, 3, 1e-6, null].map((value) => plain(rateNumber(value, scale))), ["0", "3", "180", "<0.001", "–"]);
});

test("shares", () => {
  const table: [number | null, string][] = [[0, "0 %"], [0.042, "4.2 %"], [0.0004, "0.0 %"], [0.38, "38 %"], [1, "100 %"], [null, "–"]];
  for (const [value, expected] of table) assert.equal(plain(percent(value)), expected, String(value));
});

test("quantities are scaled for people", () => {
  const table: [number | null, Unit, string][] = [
    [0.412, "seconds", "412 ms"], [2.31, "seconds", "2.31 s"], [30.01, "seconds", "30.0 s"], [0.0000123, "seconds", "12.3 µs"], [0, "seconds", "0 ms"], [5600, "seconds", "93.3 min"],
    [236, "ms", "236 ms"], [2310, "ms", "2.31 s"], [0.9999, "ms", "1 ms"],
    [4_900_000, "bytes", "4.9 MB"], [12, "bytes", "12 B"], [0.04, "ratio", "0.04"], [0.1234, "ratio", "0.123"], [1204, "count", "1,204"], [12.5, "plain", "12.5"], [null, "ms", "–"],
  ];
  for (const [value, unit, expected] of table) assert.equal(plain(quantity(value, unit)), expected, `${value} ${unit}`);
  assert.deepEqual(parts(2.31, "seconds"), { number: "2.31", unit: "s" });
});

test("the unit is in the name of a metric", () => {
  const table: [string, Unit][] = [
    ["http_request_duration_seconds", "seconds"], ["web_vitals_lcp", "ms"], ["web_vitals_cls", "ratio"], ["process_resident_memory_bytes", "bytes"], ["http_requests_total", "count"], ["cache_hit_ratio", "ratio"], ["queue_depth", "plain"], ["job_latency", "seconds"],
  ];
  for (const [name, expected] of table) assert.equal(unitOf(name), expected, name);
});

test("ages have one unit", () => {
  const hour = 3_600_000;
  const table: [number, string][] = [
    [0, "0 s"], [-5000, "0 s"], [38_999, "38 s"], [60_000, "1 min"], [3 * hour, "3 h"], [19 * 24 * hour, "19 d"], [27 * 24 * hour, "27 d"], [43 * 24 * hour, "6 w"], [100 * 24 * hour, "3 mo"], [800 * 24 * hour, "2 y"],
  ];
  for (const [ms, expected] of table) assert.equal(plain(age(ms)), expected, String(ms));
});

test("times are relative within a week, else dated", () => {
  const now = new Date(2026, 10, 22, 14, 31, 22, 90);
  assert.equal(plain(since(new Date(2026, 10, 22, 14, 30, 44), now)), "38 s");
  assert.equal(since(new Date(2026, 10, 3, 9, 12), now), "3 Nov 09:12");
  assert.equal(dayTime(new Date(2025, 0, 5, 0, 7), now), "5 Jan 2025 00:07");
  assert.equal(clockFraction(now), ".090");
});

test("the whole truth names the offset and UTC", () => {
  assert.equal(fullTime(new Date("2026-11-22T13:31:22.431Z")), "22 Nov 2026 14:31:22.431 +01:00\n2026-11-22T13:31:22.431Z");
});

test("plurals", () => {
  assert.equal(plural(1, "line"), "1 line");
  assert.equal(plural(0, "line"), "0 lines");
  assert.equal(plural(1204, "entry", "entries"), "1,204 entries");
});
