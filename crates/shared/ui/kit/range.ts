/** A stretch of time: what people type, what stands in the URL, and the bounds of a query. */
import { clock, DAYS, dayTime, THIN } from "./format";

/** Everything there is, the last so many seconds, or between two moments. */
export type Range =
  | { kind: "all" }
  | { kind: "last"; seconds: number }
  | { kind: "between"; from: Date; to: Date };

export interface Preset {
  /** As in the URL: `24h`. */
  text: string;
  label: string;
}

export const PRESETS: readonly Preset[] = [
  { text: "15m", label: "Last 15 minutes" },
  { text: "1h", label: "Last hour" },
  { text: "6h", label: "Last 6 hours" },
  { text: "24h", label: "Last 24 hours" },
  { text: "7d", label: "Last 7 days" },
  { text: "30d", label: "Last 30 days" },
];

const UNITS: Record<string, number> = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };
/** Ten years: a longer one is a slip of the finger, and its start may not be a date. */
const LONGEST = 3650 * 86400;

/**
 * Reads `all`, `90m`, `3d`, `14:00–14:30`, `Mon` (that day), or `FROM..TO` with two ISO times.
 * Answers null for anything else.
 */
export function parseRange(text: string, now: Date): Range | null {
  const trimmed = text.trim();
  if (/^all$/i.test(trimmed)) return { kind: "all" };
  const last = /^(\d{1,9})\s*(s|m|min|h|d|w)$/i.exec(trimmed);
  if (last) {
    const seconds = Number(last[1]) * (UNITS[last[2]!.toLowerCase()] ?? 0);
    return seconds > 0 && seconds <= LONGEST ? { kind: "last", seconds } : null;
  }
  return parseClocks(trimmed, now) ?? parseWeekday(trimmed, now) ?? parseIso(trimmed);
}

function parseClocks(text: string, now: Date): Range | null {
  const found = /^(\d{1,2}):(\d{2})\s*(?:-|–|—|to)\s*(\d{1,2}):(\d{2})$/.exec(text);
  if (!found) return null;
  const [h1, m1, h2, m2] = found.slice(1).map(Number) as [number, number, number, number];
  if (h1 > 23 || h2 > 24 || m1 > 59 || m2 > 59) return null;
  const from = new Date(now);
  from.setHours(h1, m1, 0, 0);
  // Times of day mean the newest such stretch that has begun.
  if (from > now) from.setDate(from.getDate() - 1);
  const to = new Date(from);
  to.setHours(h2, m2, 0, 0);
  if (to <= from) to.setDate(to.getDate() + 1);
  return { kind: "between", from, to };
}

function parseWeekday(text: string, now: Date): Range | null {
  const wanted = DAYS.findIndex((name) => name.toLowerCase() === text.slice(0, 3).toLowerCase());
  if (wanted < 0 || !/^[a-z]{3,9}$/i.test(text)) return null;
  const from = new Date(now);
  from.setHours(0, 0, 0, 0);
  from.setDate(from.getDate() - ((from.getDay() - wanted + 7) % 7));
  const to = new Date(from);
  to.setDate(to.getDate() + 1);
  return { kind: "between", from, to };
}

function parseIso(text: string): Range | null {
  const [left, right, more] = text.split("..");
  if (!left || !right || more !== undefined) return null;
  const from = new Date(left);
  const to = new Date(right);
  return from < to ? { kind: "between", from, to } : null;
}

/** The form for the URL; `parseRange` reads it back. */
export function rangeText(range: Range): string {
  switch (range.kind) {
    case "all":
      return "all";
    case "last":
      return periodText(range.seconds);
    case "between":
      return `${range.from.toISOString()}..${range.to.toISOString()}`;
  }
}

/** `5400` is `90m`: the largest unit that divides it, two days and more in days. */
export function periodText(seconds: number): string {
  if (seconds % 86400 === 0 && seconds >= 172800) return `${seconds / 86400}d`;
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** The words on the button: `Last 24 hours`, `All time`, `22 Nov 14:00 – 14:30`. */
export function rangeLabel(range: Range, now: Date): string {
  if (range.kind === "all") return "All time";
  if (range.kind === "last") {
    const text = periodText(range.seconds);
    const preset = PRESETS.find((known) => known.text === text);
    return preset?.label ?? `Last ${spanWords(range.seconds)}`;
  }
  const sameDay = range.from.toDateString() === new Date(range.to.getTime() - 1).toDateString();
  const end = sameDay ? clock(range.to) : dayTime(range.to, now);
  return `${dayTime(range.from, now)} – ${end}`;
}

/** `90 minutes`, `3 days`, for a sentence. */
export function spanWords(seconds: number): string {
  const text = periodText(seconds);
  const number = Number.parseInt(text, 10);
  const name = { s: "second", m: "minute", h: "hour", d: "day" }[text.at(-1) ?? "s"] ?? "second";
  return `${number}${THIN}${name}${number === 1 ? "" : "s"}`;
}

/** The bounds of a query. An open end is left out. */
export function bounds(range: Range, now: Date): { since?: Date; until?: Date } {
  switch (range.kind) {
    case "all":
      return {};
    case "last":
      return { since: new Date(now.getTime() - range.seconds * 1000) };
    case "between":
      return { since: range.from, until: range.to };
  }
}
