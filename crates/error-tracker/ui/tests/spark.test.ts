import assert from "node:assert/strict";
import { test } from "node:test";
import { median, sparkText, split } from "../src/spark";

const hot = (values: number[]) => split(values).hot.flatMap((value, at) => (value > 0 ? [at] : []));
const day = (...newest: number[]) => [...new Array<number>(24 - newest.length).fill(0), ...newest];

test("median", () => {
  assert.equal(median([5]), 5);
  assert.equal(median([9, 1, 4]), 4);
  assert.equal(median([10, 2, 4, 100]), 7);
  assert.equal(median([]), 0);
});

test("what comes evenly is usual, whatever its rate", () => {
  assert.deepEqual(hot(new Array(24).fill(5000)), []);
  assert.deepEqual(hot([4, 2, 3, 1, 4, 2, 3, 2, 4, 3, 2, 3]), []);
  assert.deepEqual(hot(day()), []);
});

test("over three times the median is unusual, three times is not", () => {
  assert.deepEqual(hot([10, 10, 10, 10, 30, 31]), [5]);
  assert.deepEqual(hot([1, 1, 2, 1, 1, 0, 1, 1, 2, 1, 1, 2, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 9, 18]), [22, 23]);
});

test("after silence a few events are usual, a burst is not", () => {
  assert.deepEqual(hot(day(1)), []);
  assert.deepEqual(hot(day(3)), []);
  assert.deepEqual(hot(day(4)), [23]);
  assert.deepEqual(hot(day(28, 56)), [22, 23]);
});

test("what always comes in bursts is measured by its bursts", () => {
  assert.deepEqual(hot([20, 0, 0, 25, 0, 0, 0, 22, 0, 0, 24, 0]), []);
  assert.deepEqual(hot([20, 0, 0, 25, 0, 0, 0, 22, 0, 0, 24, 90]), [11]);
});

test("each count is drawn once", () => {
  const values = day(1, 2, 3, 50, 4);
  const { known, hot: red } = split(values);
  assert.deepEqual(values.map((_, at) => known[at]! + red[at]!), values);
});

test("a sparkline in words", () => {
  assert.equal(sparkText(day(), "hour"), "No events in 24 hours");
  assert.equal(sparkText(day(1), "hour"), "1 event in 24 hours");
  assert.equal(sparkText(day(28), "hour"), "28 events in 24 hours, unusually many in one hour");
  assert.equal(sparkText(day(28, 1200), "hour"), "1,228 events in 24 hours, unusually many in 2 of them");
});
