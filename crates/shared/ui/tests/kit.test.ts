import assert from "node:assert/strict";
import { test } from "node:test";
import { columns, lastWithValue, niceStep } from "@kit/chart";
import type { Command } from "@kit/commands";
import { keyName } from "@kit/keys";
import { matching, wordPattern } from "@kit/palette";
import { stepTo } from "@kit/rows";
import { searchPattern, searchTerms } from "@kit/search";
import { axisLabel, barPaths, histogram, roundTimes } from "@kit/strip";
import { codePoint, splitHidden } from "@kit/text";
import { rowAt } from "@kit/virtual";

test("terms of a search", () => {
  const terms = (text: string) => searchTerms(text).map(({ term, prefix }) => term + (prefix ? "*" : ""));
  assert.deepEqual(terms('timeout OR "too many clients" -healthz -"a b" conn*'), ["timeout", "too many clients", "conn*"]);
  assert.deepEqual(terms('"open end'), ["open end"]);
  assert.deepEqual(terms("user@example.com /api/v1 level:error http://x"), ["user@example.com", "/api/v1", "error", "http://x"]);
  assert.deepEqual(terms('  "" - AND NOT '), []);
});

test("a pattern marks what was searched, whatever it holds", () => {
  const found = (search: string, text: string) => [...text.matchAll(searchPattern(search)!)].map(([hit]) => hit);
  assert.deepEqual(found('"too many"', "sorry, Too  many clients"), ["Too  many"]);
  assert.deepEqual(found("conn*", "connection conn reconnect"), ["connection", "conn", "connect"]);
  assert.deepEqual(found("a.b (c", "axb a.b c"), ["a.b", "c"]);
  assert.equal(searchPattern("-only -nots"), null);
});

test("a palette marks the words as they were typed", () => {
  const found = (typed: string, label: string) => [...label.matchAll(wordPattern(typed)!)].map(([hit]) => hit);
  assert.deepEqual(found("the theme", "Switch the Theme"), ["the", "Theme"]);
  assert.deepEqual(found("-not a.b (c", "-NOT axb a.b (c)"), ["-NOT", "a.b", "(c"]);
  assert.equal(wordPattern("  "), null);
});

test("hidden characters stand alone", () => {
  assert.deepEqual(splitHidden("pay\u202Egnp.exe\u202C!"), [
    { text: "pay", hidden: false }, { text: "\u202E", hidden: true }, { text: "gnp.exe", hidden: false }, { text: "\u202C", hidden: true }, { text: "!", hidden: false },
  ]);
  assert.deepEqual(splitHidden("tab\tand\nline stay"), [{ text: "tab\tand\nline stay", hidden: false }]);
  assert.equal(codePoint("\u202E"), "U+202E");
  assert.equal(codePoint("\u0000"), "U+0000");
});

test("names of keys", () => {
  const name = (key: string, held: Partial<Record<"ctrlKey" | "metaKey" | "shiftKey" | "altKey", boolean>> = {}) => keyName({ key, ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, ...held });
  assert.equal(name("j"), "j");
  assert.equal(name("N", { shiftKey: true }), "Shift+N");
  assert.equal(name("k", { metaKey: true }), "Mod+k");
  assert.equal(name("?", { shiftKey: true }), "?");
  assert.equal(name("Enter", { shiftKey: true }), "Shift+Enter");
  // With Caps Lock on, a letter is still its key.
  assert.equal(name("J"), "j");
});

test("the cursor stops at both ends", () => {
  assert.equal(stepTo([5, 6, 7], null, 1), 5);
  assert.equal(stepTo([5, 6, 7], null, -1), 7);
  assert.equal(stepTo([5, 6, 7], 6, 1), 7);
  assert.equal(stepTo([5, 6, 7], 7, 1), 7);
  assert.equal(stepTo([5, 6, 7], 99, 1), 5);
  assert.equal(stepTo([], null, 1), null);
});

test("the row at an offset", () => {
  const starts = [0, 24, 48, 148];
  assert.deepEqual([0, 23, 24, 100, 148, 999].map((offset) => rowAt(starts, offset)), [0, 0, 1, 2, 3, 3]);
});

test("a palette finds by every word, eight a group", () => {
  const all: Command[] = Array.from({ length: 12 }, (_, at) => ({ group: "Issues", label: `TypeError number ${at}`, icon: "errors", run() {} }));
  assert.equal(matching(all, "error type").get("Issues")?.length, 8);
  assert.equal(matching(all, "type 11").get("Issues")?.length, 1);
  assert.equal(matching(all, "nothing").size, 0);
});

test("buckets count what is inside", () => {
  assert.deepEqual(histogram([0, 1, 9.9, 10, 11, -1], 0, 10, 5), [2, 0, 0, 0, 2]);
  assert.deepEqual(histogram([1], 5, 5, 2), [0, 0]);
});

test("bars stand on each other and small ones can be seen", () => {
  const [low, high] = barPaths([{ class: "a", values: [1, 0] }, { class: "b", values: [1, 1000] }], 100, 10, 1000);
  assert.equal(low?.d, "M5.5 9.2h39v0.8h-39z");
  assert.equal(high?.d, "M5.5 8.4h39v0.8h-39zM55.5 0h39v10h-39z");
  assert.deepEqual(barPaths([{ class: "a", values: [] }], 100, 10, 5), []);
});

test("labels stand at round times of the reader's zone", () => {
  // 12:30 to 18:30 in Berlin.
  const from = Date.parse("2026-11-22T11:30:00Z") / 1000;
  assert.deepEqual(roundTimes(from, from + 6 * 3600, 6).map((time) => axisLabel(time, 6 * 3600)), ["13:00", "14:00", "15:00", "16:00", "17:00", "18:00"]);
  const night = Date.parse("2026-11-21T23:00:00Z") / 1000;
  assert.equal(axisLabel(night, 86400), "Sun 22");
  assert.equal(axisLabel(night, 40 * 86400), "22 Nov");
  assert.equal(axisLabel(night + 61, 120), "00:01:01");
});

test("three steps of a value axis reach the highest value", () => {
  const table: [number, number][] = [[60, 20], [61, 25], [1, 0.5], [0.9, 0.5], [1.37, 0.5], [2.4, 1], [150, 50], [0, 1], [-3, 1], [0.0042, 0.002]];
  for (const [max, step] of table) assert.ok(Math.abs(niceStep(max) - step) < 1e-9, `${max}: ${niceStep(max)}`);
});

test("a legend speaks of the newest time with a value", () => {
  const series = [{ values: [1, 2, null, null] }, { values: [null, 5, 6, null] }];
  assert.equal(lastWithValue(columns([10, 20, 30, 40], series, 0, 60)), 3);
  assert.equal(lastWithValue(columns([10, 20, 30, 40], series, 10, 40)), 2);
  assert.equal(lastWithValue(columns([10, 20], [{ values: [null, null] }], 0, 60)), -1);
  assert.equal(lastWithValue(columns([10, 20], [{ values: [0, null] }], 10, 20)), 0);
  assert.equal(lastWithValue(columns([], [], 0, 60)), -1);
});

test("a chart always shows the whole stretch", () => {
  assert.deepEqual(columns([20, 30], [{ values: [1, 2] }], 10, 40), [[10, 20, 30, 40], [null, 1, 2, null]]);
  assert.deepEqual(columns([10, 40], [{ values: [1, 2] }], 10, 40), [[10, 40], [1, 2]]);
  assert.deepEqual(columns([], [{ values: [] }], 10, 40), [[10, 40], [null, null]]);
});
