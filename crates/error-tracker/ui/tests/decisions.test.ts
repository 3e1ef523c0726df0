import assert from "node:assert/strict";
import { test } from "node:test";
import { stateOf } from "../src/api";
import { doneText, wayBack } from "../src/decisions";
import { totalText } from "../src/model";
import { keptOf } from "../src/occurrence";

test("the way back to each state keeps what belongs to it", () => {
  const back = (more: Partial<Parameters<typeof wayBack>[0]>) => wayBack({ resolved: false, count: 7, ...more });
  assert.deepEqual(back({}), { action: "reopen" });
  assert.deepEqual(back({ state: "open" }), { action: "reopen" });
  assert.deepEqual(back({ resolved: true }), { action: "resolve" });
  assert.deepEqual(back({ state: "resolved", resolved_in_release: "2.4.1" }), { action: "resolve", in_release: "2.4.1" });
  assert.deepEqual(back({ state: "ignored", ignored_until: null, ignored_until_count: null }), { action: "ignore" });
  assert.deepEqual(back({ state: "ignored", ignored_until: "2026-11-23T13:31:00Z" }), { action: "ignore", until: "2026-11-23T13:31:00Z" });
  // The service counts from now on: of 107 events, 7 are here.
  assert.deepEqual(back({ state: "ignored", ignored_until_count: 107 }), { action: "ignore", count: 100 });
  assert.deepEqual(back({ state: "ignored", ignored_until_count: 7 }), { action: "ignore", count: 1 });
});

test("what was done", () => {
  assert.equal(doneText(1, { action: "resolve" }), "1 issue resolved");
  assert.equal(doneText(2, { action: "resolve", in_release: "2.4.1" }), "2 issues resolved in 2.4.1");
  assert.equal(doneText(1, { action: "reopen" }), "1 issue reopened");
  assert.equal(doneText(1, { action: "ignore" }), "1 issue ignored");
  assert.equal(doneText(3, { action: "ignore", for: "24h" }), "3 issues ignored for a day");
  assert.equal(doneText(1, { action: "ignore", count: 100 }), "1 issue ignored until 100 more events");
});

test("a service that knows no states still says whether an issue is resolved", () => {
  assert.equal(stateOf({ resolved: false }), "open");
  assert.equal(stateOf({ resolved: true }), "resolved");
  assert.equal(stateOf({ resolved: false, state: "ignored" }), "ignored");
});

test("a total that was not counted to its end", () => {
  assert.equal(totalText({ n: 1000, exact: false }), "1,000+");
  assert.equal(totalText({ n: 1204, exact: true }), "1,204");
  assert.equal(totalText(null), "");
});

test("the first occurrence is there once", () => {
  const one = (id: number) => ({ id, timestamp: "", request_url: null, request_method: null, request_headers: null, user_id: null, extra: null, traceback: "" });
  const ids = (occurrences: number[], first: number | null) => keptOf({ occurrences: occurrences.map(one), first_occurrence: first === null ? null : one(first) }).map(({ id }) => id);
  assert.deepEqual(ids([9, 8, 7, 6, 5], 1), [9, 8, 7, 6, 5, 1]);
  assert.deepEqual(ids([3, 2, 1], 1), [3, 2, 1]);
  assert.deepEqual(ids([3, 2, 1], null), [3, 2, 1]);
  assert.deepEqual(keptOf({ occurrences: [one(4)] }).map(({ id }) => id), [4]);
});
