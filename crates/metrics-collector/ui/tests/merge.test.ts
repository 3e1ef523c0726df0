import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bucket, Metric } from "../src/api";
import { drawing, errorsDrawing, requestsDrawing } from "../src/card";
import { linesOf, rateAxis } from "../src/explore";
import { column, endpoints, merge, rate, statusClass, summarise, trend, withGaps } from "../src/merge";
import { periodParam, usualMetric } from "../src/model";
import { rate as rating, VITALS } from "../src/vitals";

function bucket(time: string, values: Partial<Bucket> = {}): Bucket {
  return { bucket: time, count: 1, sum: 1, min: 1, max: 1, avg: 1, p50: 1, p95: 1, p99: 1, ...values };
}

test("label sets of a bucket are added up, percentiles are their highest", () => {
  const points = merge([
    bucket("2026-11-22T10:01:00Z"),
    bucket("2026-11-22T10:00:00Z", { count: 3, sum: 6, min: 1, max: 4, avg: 2, p50: 2, p95: 4, p99: 4 }),
    bucket("2026-11-22T10:00:00Z", { count: 1, sum: 10, min: 10, max: 10, avg: 10, p50: 10, p95: null, p99: null }),
  ]);
  assert.equal(points.length, 2);
  assert.deepEqual(points[0], { time: Date.parse("2026-11-22T10:00:00Z") / 1000, count: 4, sum: 16, min: 1, max: 10, avg: 4, p50: 10, p95: 4, p99: 4 });
  assert.deepEqual(merge([bucket("garbage")]), []);
});

test("missing buckets are a gap, sparse series are joined", () => {
  const dense = merge(["10:00", "10:01", "10:02", "10:09"].map((time) => bucket(`2026-11-22T${time}:00Z`)));
  assert.deepEqual(column(withGaps(dense, 60), ({ count }) => count), [1, 1, 1, null, 1]);
  const sparse = merge(["10:00", "10:05", "10:10", "10:20"].map((time) => bucket(`2026-11-22T${time}:00Z`)));
  assert.deepEqual(column(withGaps(sparse, 60), ({ count }) => count), [1, 1, 1, 1]);
});

test("the newest bucket is divided by what of it has passed", () => {
  assert.equal(rate({ sum: 120, time: 0 }, 60, 600), 2);
  assert.equal(rate({ sum: 20, time: 590 }, 60, 600), 2);
  assert.equal(rate({ sum: 5, time: 600 }, 60, 600), 5);
});

test("the whole range", () => {
  const all = summarise(merge([bucket("2026-11-22T10:00:00Z", { count: 3, sum: 6, min: 1, max: 4 }), bucket("2026-11-22T10:01:00Z", { count: 1, sum: 10, min: 10, max: 10 })]));
  assert.deepEqual(all, { count: 4, sum: 16, min: 1, max: 10, mean: 4 });
  assert.deepEqual(summarise([]), { count: 0, sum: 0, min: null, max: null, mean: null });
});

test("a line in words", () => {
  const say = (value: number) => `${value} ms`;
  assert.equal(trend([340, null, 811], say), "rises from 340 ms to 811 ms, highest 811 ms");
  assert.equal(trend([100, 300, 101], say), "stays at about 101 ms, highest 300 ms");
  assert.equal(trend([null], say), "no data");
});

test("ratings are those of the collector, a value on a limit has the better one", () => {
  const [lcp, , cls] = VITALS;
  assert.deepEqual([2500, 2501, 4000, 4001, null].map((value) => rating(lcp!, value)), ["good", "needs-improvement", "needs-improvement", "poor", "unknown"]);
  assert.equal(rating(cls!, 0.1), "good");
});

test("the usual metric of a card", () => {
  const all: Metric[] = [{ name: "a_total", type: "counter" }, { name: "http_requests_total", type: "counter" }, { name: "web_vitals_lcp", type: "histogram" }, { name: "db_seconds", type: "histogram" }];
  assert.equal(usualMetric("counter", all, []), "http_requests_total");
  assert.equal(usualMetric("histogram", all, [all[2]!, all[3]!]), "db_seconds");
  assert.equal(usualMetric("gauge", all, all), "");
});

test("only another period than a day is in the URL", () => {
  assert.equal(periodParam({ kind: "last", seconds: 86400 }), null);
  assert.equal(periodParam({ kind: "last", seconds: 604800 }), "7d");
});

test("status classes", () => {
  assert.deepEqual(["200", "101", "304", "404", "503", "abc", "", undefined, "6000"].map(statusClass), ["2xx", "2xx", "3xx", "4xx", "5xx", null, null, null, null]);
});

test("requests by class stand on each other, the legend says each alone", () => {
  const rows = [
    bucket("2026-11-22T10:00:00Z", { sum: 120, labels: { status: "200" } }),
    bucket("2026-11-22T10:00:00Z", { sum: 60, labels: { status: "201" } }),
    bucket("2026-11-22T10:00:00Z", { sum: 60, labels: { status: "500" } }),
  ];
  const now = Date.parse("2026-11-22T10:02:00Z") / 1000;
  const view = requestsDrawing({ name: "x", resolution: "minute", period: "1h", data: rows }, now);
  assert.deepEqual(view.series.map(({ name, values, own }) => [name, values[0], own?.[0]]), [["2xx", 3, 3], ["3xx", 3, 0], ["4xx", 3, 0], ["5xx", 4, 1]]);
  assert.deepEqual([view.number, view.unit], ["2", "/s"]);
  const errors = errorsDrawing({ name: "x", resolution: "minute", period: "1h", data: rows });
  assert.deepEqual([errors.number, errors.unit, errors.note, errors.bad], ["25", "%", "60 of 240", true]);
});

test("the number on a card of latencies is that of the whole time, as the mean beside it", () => {
  const rows = [bucket("2026-11-22T10:00:00Z", { count: 9, sum: 4.5, p95: 0.9 }), bucket("2026-11-22T10:01:00Z", { count: 1, sum: 0.1, p95: 0.1 })];
  const of = (whole?: number | null) => drawing("histogram", "seconds", merge(rows), 60, Date.parse("2026-11-22T10:02:00Z") / 1000, whole);
  assert.deepEqual([of(0.85).number, of(0.85).unit, of(0.85).note].map((text) => text.replace(/\s/g, " ")), ["850", "ms p95", "mean 460 ms"]);
  assert.equal(of(null).number, "–");
});

test("what is rare is said a minute or an hour, on a card and in Explore", () => {
  const start = Date.parse("2026-11-22T10:00:00Z") / 1000;
  const rows = [bucket("2026-11-22T10:00:00Z", { sum: 1 })];
  const of = (seconds: number) => drawing("counter", "count", merge(rows), 60, start + seconds);
  assert.deepEqual([of(5), of(20), of(3600)].map(({ number, unit }) => number + unit), ["0.2/s", "3/min", "1/h"]);
  assert.equal(of(3600).say(1 / 60), "60");
  const lines = linesOf({ name: "x", resolution: "minute", period: "1h", data: rows }, ({ sum }) => sum / 60);
  assert.deepEqual([1 / 60, 1, 1e-6].map(rateAxis(lines)), ["1/min", "60/min", "<0.001/min"]);
});

test("endpoints are sorted by the time spent in them", () => {
  const of = (endpoint: string, sum: number, p95: number) => bucket("2026-11-22T10:00:00Z", { count: 10, sum, p95, labels: { method: "GET", endpoint } });
  const answered = (endpoint: string, status: string, sum: number) => bucket("2026-11-22T10:00:00Z", { sum, labels: { method: "GET", endpoint, status } });
  const list = endpoints([of("/a", 1, 0.2), of("/b", 3, 0.5)], [answered("/b", "200", 9), answered("/b", "503", 1)], 60);
  assert.deepEqual(list.map(({ endpoint, share, mean, worst, errors }) => [endpoint, share, mean, worst, errors]), [["/b", 0.75, 0.3, 0.5, 0.1], ["/a", 0.25, 0.1, 0.2, null]]);
});
