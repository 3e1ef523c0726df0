/** Events over time in a small place: grey, and red where they come far more often than usual. */
import { count, plural } from "@kit/format";
import { barPaths } from "@kit/strip";

/** So many times the usual rate is unusual. */
const UNUSUAL = 3;
/** With fewer buckets that have events, silence is what is usual. */
const FEW = 4;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/**
 * Splits counts into usual and unusual ones. The usual rate is the median of the buckets with
 * events: what comes in bursts is measured by its bursts. One event is never unusual.
 */
export function split(values: readonly number[]): { known: number[]; hot: number[] } {
  const seen = values.filter((value) => value > 0);
  const limit = UNUSUAL * Math.max(1, median(seen.length < FEW ? values : seen));
  return { known: values.map((value) => (value > limit ? 0 : value)), hot: values.map((value) => (value > limit ? value : 0)) };
}

/** `84 events in 24 hours, unusually many in 2 of them`. */
export function sparkText(values: readonly number[], unit: string): string {
  const sum = values.reduce((total, value) => total + value, 0);
  const hot = split(values).hot.filter((value) => value > 0).length;
  return `${sum === 0 ? "No events" : plural(sum, "event")} in ${count(values.length)} ${unit}s${hot > 0 ? `, unusually many in ${hot === 1 ? `one ${unit}` : `${count(hot)} of them`}` : ""}`;
}

/** Bars for counts of equal stretches of time, the newest at the right. `unit` names the stretch: `hour`. */
export function Spark({ values, unit, height = 24 }: { values: readonly number[]; unit: string; height?: number }) {
  const { known, hot } = split(values);
  const label = sparkText(values, unit);
  return (
    <svg class="spark" viewBox={`0 0 240 ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <title>{label}</title>
      {barPaths(
        [
          { class: "bar-known", values: known },
          { class: "bar-hot", values: hot },
        ],
        240,
        height,
        Math.max(...values),
      ).map(({ class: name, d }) => d && <path key={name} class={name} d={d} />)}
    </svg>
  );
}
