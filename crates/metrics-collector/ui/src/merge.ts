/** Makes one line of the rows of several label sets. Pure. */
import type { Bucket, Series } from "./api";

/** A moment of a chart: what all label sets of a bucket are together. */
export interface Point {
  /** The start of the bucket, in seconds. */
  time: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  avg: number;
  /**
   * Percentiles. Of several label sets it is the highest of theirs: the percentile of all of them
   * together cannot be higher.
   */
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export const STEP: Record<Series["resolution"], number> = { minute: 60, hour: 3600, day: 86400 };

/** Rows with the same bucket become one point; ascending. */
export function merge(rows: readonly Bucket[]): Point[] {
  const byTime = new Map<number, Point>();
  for (const row of rows) {
    const time = Date.parse(row.bucket) / 1000;
    if (!Number.isFinite(time)) continue;
    const { count, sum, min, max, avg, p50, p95, p99 } = row;
    const known = byTime.get(time);
    if (!known) {
      byTime.set(time, { time, count, sum, min, max, avg, p50, p95, p99 });
      continue;
    }
    known.count += count;
    known.sum += sum;
    known.min = Math.min(known.min, min);
    known.max = Math.max(known.max, max);
    known.avg = known.count > 0 ? known.sum / known.count : 0;
    known.p50 = higher(known.p50, p50);
    known.p95 = higher(known.p95, p95);
    known.p99 = higher(known.p99, p99);
  }
  return [...byTime.values()].sort((left, right) => left.time - right.time);
}

function higher(left: number | null, right: number | null): number | null {
  if (left === null || right === null) return left ?? right;
  return Math.max(left, right);
}

/**
 * Puts a hole where buckets are missing, so that a chart shows a gap. A series that is sparse by
 * nature is joined over up to three times its usual distance.
 */
export function withGaps(points: readonly Point[], step: number): (Point | { time: number; hole: true })[] {
  const distances = points.slice(1).map((point, at) => point.time - points[at]!.time);
  const usual = [...distances].sort((left, right) => left - right)[Math.floor(distances.length / 2)] ?? step;
  const most = Math.max(step, usual) * 3;
  return points.flatMap((point, at) => {
    const before = points[at - 1];
    return before && point.time - before.time > most ? [{ time: before.time + step, hole: true as const }, point] : [point];
  });
}

/** The values of a chart for one reading of the points; holes are null. */
export function column(rows: ReturnType<typeof withGaps>, read: (point: Point) => number | null): (number | null)[] {
  return rows.map((row) => ("hole" in row ? null : read(row)));
}

/** How much a second: the newest bucket is divided by what of it has passed. */
export function rate(point: Pick<Point, "sum" | "time">, step: number, now: number): number {
  const passed = Math.min(step, Math.max(1, now - point.time));
  return point.sum / passed;
}

/** The rows of each group, by the text of its labels. */
export function byGroup(rows: readonly Bucket[]): Map<string, { labels: Record<string, string>; rows: Bucket[] }> {
  const groups = new Map<string, { labels: Record<string, string>; rows: Bucket[] }>();
  for (const row of rows) {
    const labels = row.labels ?? {};
    const key = JSON.stringify(labels);
    const known = groups.get(key);
    if (known) known.rows.push(row);
    else groups.set(key, { labels, rows: [row] });
  }
  return groups;
}

export type StatusClass = "2xx" | "3xx" | "4xx" | "5xx";
export const STATUS_CLASSES: readonly StatusClass[] = ["2xx", "3xx", "4xx", "5xx"];

/** The class of an HTTP status; 1xx counts with 2xx, what is no status is left out. */
export function statusClass(status: string | undefined): StatusClass | null {
  const found = /^([1-5])\d\d$/.exec(status ?? "");
  if (!found) return null;
  return found[1] === "1" ? "2xx" : (`${found[1]}xx` as StatusClass);
}

/** Requests a bucket by status class, with all of them together. */
export function byStatus(rows: readonly Bucket[]): { all: Point[]; of: Record<StatusClass, Map<number, number>> } {
  const of: Record<StatusClass, Map<number, number>> = { "2xx": new Map(), "3xx": new Map(), "4xx": new Map(), "5xx": new Map() };
  for (const row of rows) {
    const name = statusClass(row.labels?.["status"]);
    const time = Date.parse(row.bucket) / 1000;
    if (name) of[name].set(time, (of[name].get(time) ?? 0) + row.sum);
  }
  return { all: merge(rows), of };
}

/** One endpoint over the whole range. */
export interface Endpoint {
  method: string;
  endpoint: string;
  requests: number;
  /** Seconds spent in it. */
  time: number;
  /** Of all time spent, from 0 to 1. */
  share: number;
  mean: number;
  /** The highest p95 of a bucket. */
  worst: number | null;
  /** p95 a bucket. */
  trend: (number | null)[];
  /** Of its requests those answered with 5xx, from 0 to 1; null when no status is known. */
  errors: number | null;
}

/** The endpoints by the time spent in them. `durations` by method and endpoint, `requests` by status too. */
export function endpoints(durations: readonly Bucket[], requests: readonly Bucket[], step: number): Endpoint[] {
  const failed = new Map<string, { all: number; bad: number }>();
  for (const { labels, sum } of requests) {
    const name = statusClass(labels?.["status"]);
    if (!name) continue;
    const key = `${labels?.["method"] ?? ""} ${labels?.["endpoint"] ?? ""}`;
    const known = failed.get(key) ?? { all: 0, bad: 0 };
    failed.set(key, { all: known.all + sum, bad: known.bad + (name === "5xx" ? sum : 0) });
  }
  const found = [...byGroup(durations).values()].map(({ labels, rows }): Endpoint => {
    const method = labels["method"] ?? "";
    const endpoint = labels["endpoint"] ?? "";
    const points = merge(rows);
    const { count, sum, mean } = summarise(points);
    const p95s = points.flatMap(({ p95 }) => (p95 === null ? [] : [p95]));
    const answers = failed.get(`${method} ${endpoint}`);
    return {
      method,
      endpoint,
      requests: count,
      time: sum,
      share: 0,
      mean: mean ?? 0,
      worst: p95s.length > 0 ? Math.max(...p95s) : null,
      trend: column(withGaps(points, step), ({ p95 }) => p95),
      errors: answers && answers.all > 0 ? answers.bad / answers.all : null,
    };
  });
  const total = found.reduce((sum, { time }) => sum + time, 0);
  for (const one of found) one.share = total > 0 ? one.time / total : 0;
  return found.sort((left, right) => right.time - left.time);
}

export interface Summary {
  count: number;
  sum: number;
  min: number | null;
  max: number | null;
  mean: number | null;
}

/** All points together. */
export function summarise(points: readonly Point[]): Summary {
  const count = points.reduce((total, point) => total + point.count, 0);
  const sum = points.reduce((total, point) => total + point.sum, 0);
  return {
    count,
    sum,
    min: points.length > 0 ? Math.min(...points.map(({ min }) => min)) : null,
    max: points.length > 0 ? Math.max(...points.map(({ max }) => max)) : null,
    mean: count > 0 ? sum / count : null,
  };
}

/** A sentence on how a line moves, for who does not see it. */
export function trend(values: readonly (number | null)[], say: (value: number) => string): string {
  const known = values.filter((value): value is number => value !== null);
  const [first] = known;
  const last = known.at(-1);
  if (first === undefined || last === undefined) return "no data";
  const highest = Math.max(...known);
  const change = last > first * 1.1 ? "rises" : last < first * 0.9 ? "falls" : "stays";
  return change === "stays" ? `stays at about ${say(last)}, highest ${say(highest)}` : `${change} from ${say(first)} to ${say(last)}, highest ${say(highest)}`;
}
