/** Bars over time as SVG paths, one path per colour: strips above lists, sparklines in rows. */
import { clock, clockSeconds, day, weekday } from "./format";

export interface Layer {
  /** The class that colours it. */
  class: string;
  values: readonly number[];
}

/** A path of bars that stand on each other. Heights are in the units of `scale`. */
export function barPaths(layers: readonly Layer[], width: number, height: number, max: number, down = false): { class: string; d: string }[] {
  const n = layers[0]?.values.length ?? 0;
  if (n === 0 || max <= 0) return [];
  const step = width / n;
  const bar = round(step * 0.78);
  const floor = new Array<number>(n).fill(0);
  return layers.map(({ class: name, values }) => {
    let d = "";
    values.forEach((value, at) => {
      if (value <= 0) return;
      // A bar that is there at all can be seen.
      const tall = Math.max((value / max) * height, 0.8);
      const base = floor[at] ?? 0;
      floor[at] = base + tall;
      const top = down ? base : height - base - tall;
      d += `M${round(at * step + step * 0.11)} ${round(top)}h${bar}v${round(tall)}h-${bar}z`;
    });
    return { class: name, d };
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Counts moments into `n` equal buckets between two times; what lies outside is left out. */
export function histogram(times: Iterable<number>, from: number, to: number, n: number): number[] {
  const buckets = new Array<number>(n).fill(0);
  const span = to - from;
  if (span <= 0) return buckets;
  for (const time of times) {
    if (time < from || time > to) continue;
    const at = Math.min(n - 1, Math.floor(((time - from) / span) * n));
    buckets[at] = (buckets[at] ?? 0) + 1;
  }
  return buckets;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];

/** Round moments between two times, at most `most`, for the labels of an axis. In seconds. */
export function roundTimes(from: number, to: number, most: number): number[] {
  const step = STEPS.find((size) => (to - from) / size <= most) ?? STEPS.at(-1)!;
  const offset = step >= 3600 ? new Date(from * 1000).getTimezoneOffset() * 60 : 0;
  const times: number[] = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) times.push(at);
  return times;
}

/** A label of a time axis: the day at midnight, else the time of day, as exact as the span asks for. */
export function axisLabel(seconds: number, span: number): string {
  const time = new Date(seconds * 1000);
  if (span > 20 * 86400) return day(time);
  if (time.getHours() === 0 && time.getMinutes() === 0 && time.getSeconds() === 0) return weekday(time);
  return span < 300 ? clockSeconds(time) : clock(time);
}

/** The labels of a time axis, placed by the share of the width at which they stand. In seconds. */
export function TimeAxis({ from, to, most = 6 }: { from: number; to: number; most?: number }) {
  const span = to - from;
  if (span <= 0) return null;
  return (
    <div class="axis-x" aria-hidden="true">
      {roundTimes(from, to, most).map((time) => {
        const share = (time - from) / span;
        // Labels that would stand out over an end are left out.
        if (share < 0.02 || share > 0.98) return null;
        return (
          <span key={time} style={{ left: `${share * 100}%` }}>
            {axisLabel(time, span)}
          </span>
        );
      })}
    </div>
  );
}

interface StripProps {
  /** What stands up, on its own scale: the normal. */
  up: readonly Layer[];
  /** What hangs down, on its own scale: what is not normal. */
  down?: readonly Layer[];
  from: number;
  to: number;
  /** Says in words what can be seen. */
  label: string;
  /** What lies over the bars. */
  children?: preact.ComponentChildren;
}

/** The strip above a list. Times in seconds. */
export function Strip({ up, down = [], from, to, label, children }: StripProps) {
  const topMax = highest(up);
  const lowMax = highest(down);
  const upper = lowMax > 0 ? 34 : 56;
  return (
    <div class="strip-body">
      <div class="strip-plot">
        <svg class="plot" viewBox="0 0 1200 60" preserveAspectRatio="none" role="img" aria-label={label}>
          {barPaths(up, 1200, upper, topMax).map(({ class: name, d }) => (
            <path key={name} class={name} d={d} />
          ))}
          <g transform="translate(0 37)">
            {barPaths(down, 1200, 22, lowMax, true).map(({ class: name, d }) => (
              <path key={name} class={name} d={d} />
            ))}
          </g>
        </svg>
        {topMax > 0 && <span class="strip-max">{topMax}</span>}
        {lowMax > 0 && <span class="strip-max low">{lowMax}</span>}
        {children}
      </div>
      <TimeAxis from={from} to={to} />
    </div>
  );
}

function highest(layers: readonly Layer[]): number {
  const n = layers[0]?.values.length ?? 0;
  let max = 0;
  for (let at = 0; at < n; at += 1) max = Math.max(max, layers.reduce((sum, { values }) => sum + (values[at] ?? 0), 0));
  return max;
}

/** A small line in a row of a table, for a trend. Gaps stay gaps. */
export function Sparkline({ values, label }: { values: readonly (number | null)[]; label: string }) {
  const known = values.filter((value): value is number => value !== null);
  const max = Math.max(...known, 0);
  if (known.length < 2 || max <= 0) return <span class="t3">–</span>;
  let d = "";
  let open = false;
  values.forEach((value, at) => {
    if (value === null) {
      open = false;
      return;
    }
    d += `${open ? "L" : "M"}${round((at / (values.length - 1)) * 100)} ${round(19 - (value / max) * 18)}`;
    open = true;
  });
  return (
    <svg class="spark line" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="ln" d={d} />
    </svg>
  );
}

/** A share of a whole as a bar, with its number beside it. */
export function Share({ share, children }: { share: number; children: preact.ComponentChildren }) {
  return (
    <span class="share">
      <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
        <rect class="dist-bg" width="100" height="6" />
        <rect class="dist-fg" width={Math.max(share * 100, 0.8)} height="6" />
      </svg>
      <span class="num t2">{children}</span>
    </span>
  );
}
