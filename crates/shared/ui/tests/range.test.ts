import assert from "node:assert/strict";
import { test } from "node:test";
import { bounds, parseRange, periodText, rangeLabel, rangeText, spanWords } from "@kit/range";

// A Sunday, 14:31 in Berlin (the zone of these tests).
const NOW = new Date("2026-11-22T13:31:00Z");

test("lengths of time", () => {
  const table: [string, number][] = [["90m", 5400], ["3d", 259200], ["15 min", 900], ["2W", 1209600], ["30s", 30]];
  for (const [text, seconds] of table) assert.deepEqual(parseRange(text, NOW), { kind: "last", seconds }, text);
});

test("times of day are the newest that have begun", () => {
  const table: [string, string, string][] = [
    ["14:00–14:30", "2026-11-22T13:00:00.000Z", "2026-11-22T13:30:00.000Z"],
    ["14:00 - 16:00", "2026-11-22T13:00:00.000Z", "2026-11-22T15:00:00.000Z"],
    ["22:00-02:00", "2026-11-21T21:00:00.000Z", "2026-11-22T01:00:00.000Z"],
    ["15:00–16:00", "2026-11-21T14:00:00.000Z", "2026-11-21T15:00:00.000Z"],
  ];
  for (const [text, from, to] of table) {
    const range = parseRange(text, NOW);
    assert.ok(range?.kind === "between", text);
    assert.deepEqual([range.from.toISOString(), range.to.toISOString()], [from, to], text);
  }
});

test("a weekday is the newest such day", () => {
  const range = parseRange("Mon", NOW);
  assert.ok(range?.kind === "between");
  assert.equal(range.from.toISOString(), "2026-11-15T23:00:00.000Z");
  assert.equal(range.to.toISOString(), "2026-11-16T23:00:00.000Z");
});

test("what is no stretch of time is refused", () => {
  for (const text of ["", "soon", "0m", "25:00–26:00", "12:60–13:00", "-5m", "5", "m", "99999999999d", "2026-01-02..2026-01-01", "a..b", "1h..2h..3h"]) assert.equal(parseRange(text, NOW), null, text);
});

test("the form for the URL reads back", () => {
  for (const text of ["all", "90m", "3d", "36h", "45s", "2026-11-22T13:00:00.000Z..2026-11-22T13:30:00.000Z"]) {
    const range = parseRange(text, NOW);
    assert.ok(range, text);
    assert.equal(rangeText(range), text);
  }
  assert.equal(periodText(86400), "24h");
  assert.equal(periodText(172800), "2d");
});

test("words on the button", () => {
  const label = (text: string) => rangeLabel(parseRange(text, NOW)!, NOW).replaceAll("\u202f", " ");
  assert.equal(label("24h"), "Last 24 hours");
  assert.equal(label("90m"), "Last 90 minutes");
  assert.equal(label("all"), "All time");
  assert.equal(label("14:00-14:30"), "22 Nov 14:00 – 14:30");
  assert.equal(label("22:00-02:00"), "21 Nov 22:00 – 22 Nov 02:00");
  assert.equal(spanWords(3600).replace("\u202f", " "), "1 hour");
});

test("bounds of a query", () => {
  assert.deepEqual(bounds({ kind: "all" }, NOW), {});
  assert.deepEqual(bounds({ kind: "last", seconds: 60 }, NOW), { since: new Date("2026-11-22T13:30:00Z") });
});
