import assert from "node:assert/strict";
import { test } from "node:test";
import { count } from "@kit/format";
import type { GroupDetail, HistoryEntry } from "../src/api";
import { byDay, dayOf, decisionText, lifeOf, sentence, usersText } from "../src/history";

// Tests run in the zone of Berlin.
const NOW = new Date("2026-11-22T13:31:00Z");

const group = (more: Partial<GroupDetail>): GroupDetail => ({
  id: 1, fingerprint: "", project: "p", exception_type: "E", message: "m", traceback: "", count: 7, resolved: false, resolved_at: null, occurrences: [],
  first_seen: "2026-11-03T08:12:00Z", last_seen: "2026-11-22T13:30:00Z", ...more,
});

test("changes are said in plain sentences", () => {
  const said = (entry: Omit<HistoryEntry, "time">) => sentence({ time: "2026-11-20T10:00:00Z", ...entry } as HistoryEntry, NOW);
  assert.equal(said({ action: "resolved" }), "Resolved");
  assert.equal(said({ action: "resolved", in_release: "2.4.1" }), "Resolved in 2.4.1");
  assert.equal(said({ action: "reopened", by: "person" }), "Reopened");
  assert.equal(said({ action: "reopened", by: "report", release: "2026.11.3" }), "Reopened by an event in 2026.11.3");
  assert.equal(said({ action: "reopened", by: "report", release: null }), "Reopened by an event");
  assert.equal(said({ action: "ignored", until_ms: null, reports: null }), "Ignored for ever");
  assert.equal(said({ action: "ignored", until_ms: Date.parse("2026-11-24T08:12:00Z"), reports: null }), "Ignored until 24 Nov 09:12");
  assert.equal(said({ action: "ignored", until_ms: null, reports: 1 }), "Ignored until 1 more event");
  assert.equal(said({ action: "ignored", until_ms: Date.parse("2026-11-24T08:12:00Z"), reports: 1200 }), "Ignored until 24 Nov 09:12 or 1,200 more events");
  assert.equal(said({ action: "reopened", by: "time" }), "Open again, its time was over");
  assert.equal(said({ action: "merged", id: 12, reports: 1204 }), "Issue 12 merged into this one, with 1,204 events");
  assert.equal(said({ action: "noted" }), "Note written");
  assert.equal(said({ action: "note removed" }), "Note removed");
});

test("a life is told from its end to its beginning", () => {
  const texts = (more: Partial<GroupDetail>) => lifeOf(group(more), NOW).map(({ text }) => text);
  const history = [
    { time: "2026-11-21T21:07:00Z", action: "reopened", by: "report", release: "3" },
    { time: "2026-11-19T15:40:00Z", action: "resolved" },
  ];
  assert.deepEqual(texts({ history }), ["Reopened by an event in 3", "Resolved", "First event"]);
  assert.deepEqual(texts({ history: [...history].reverse() }), ["Reopened by an event in 3", "Resolved", "First event"]);
  assert.deepEqual(texts({ count: 1 }), ["The only event"]);
  // Without a history, as from an older service, the time of resolving is still known, and told once.
  assert.deepEqual(texts({ resolved: true, resolved_at: "2026-11-19T15:40:00Z" }), ["Resolved", "First event"]);
  assert.deepEqual(texts({ resolved: true, resolved_at: "2026-11-19T15:40:00Z", history: history.slice(1) }), ["Resolved", "First event"]);
});

test("what was decided, and what ends it", () => {
  const said = (more: Partial<GroupDetail>) => decisionText(group(more), NOW);
  assert.equal(said({}), null);
  assert.equal(said({ resolved: true }), "Resolved: the next event opens it again.");
  assert.equal(said({ state: "resolved", resolved_in_release: "2.4.1" }), "Resolved in 2.4.1: only a newer release opens it again.");
  assert.equal(said({ state: "ignored" }), "Ignored for ever.");
  assert.equal(said({ state: "ignored", ignored_until: "2026-11-23T13:31:00Z" }), "Ignored until 23 Nov 14:31.");
  assert.equal(said({ state: "ignored", ignored_until_count: 107 }), "Ignored until 100 more events.");
  assert.equal(said({ state: "ignored", ignored_until_count: 8 }), "Ignored until 1 more event.");
});

test("hours become days of the reader's zone", () => {
  const { counts, from } = byDay(
    [
      { hour: "2026-10-23T10:00:00Z", count: 99 },
      // Half past midnight of the first day shown, in summer time.
      { hour: "2026-10-23T22:00:00Z", count: 5 },
      // The last hour of the day on which clocks go back, and the first one after it.
      { hour: "2026-10-25T22:00:00Z", count: 3 },
      { hour: "2026-10-25T23:00:00Z", count: 4 },
      // 23 o'clock in Berlin, and the hour after it.
      { hour: "2026-11-21T22:00:00Z", count: 10 },
      { hour: "2026-11-21T23:00:00Z", count: 20 },
      { hour: "2026-11-22T13:00:00Z", count: 2 },
    ],
    NOW,
  );
  assert.equal(from.toISOString(), "2026-10-23T22:00:00.000Z");
  assert.equal(counts.length, 30);
  assert.deepEqual(counts.flatMap((n, at) => (n > 0 ? [[at, n]] : [])), [[0, 5], [1, 3], [2, 4], [28, 10], [29, 22]]);
  assert.equal(dayOf(new Date("2026-10-23T21:59:00Z"), from), null);
  assert.equal(dayOf(NOW, from), 29);
});

test("users: known, estimated, unknown", () => {
  assert.equal(usersText(612, true, count), "612");
  assert.equal(usersText(2918, false, count), "≈\u202f2,918");
  assert.equal(usersText(0, true, count), "–");
  assert.equal(usersText(undefined, undefined, count), "–");
});
