/** What happened to an issue, in plain sentences, and its events by day. Everything here is pure. */
import { dayTime, plural, UNKNOWN } from "@kit/format";
import { type GroupDetail, type HistoryEntry, stateOf } from "./api";

/** Days that a service keeps by the hour. */
export const DAYS_SHOWN = 30;
const DAY = 86_400_000;

export interface Line {
  /** A sentence; what strangers wrote may be in it. */
  text: string;
  /** ISO 8601. */
  time: string;
  action: string;
}

/** Everything known about the life of an issue, the newest first. */
export function lifeOf(group: GroupDetail, now: Date): Line[] {
  const lines: Line[] = (group.history ?? []).map((entry) => ({ text: sentence(entry, now), time: entry.time, action: entry.action }));
  // An issue taken over from the original was resolved before anybody wrote a history.
  if (group.resolved_at && !lines.some(({ action }) => action === "resolved")) lines.push({ text: "Resolved", time: group.resolved_at, action: "resolved" });
  lines.push({ text: group.count === 1 ? "The only event" : "First event", time: group.first_seen, action: "first" });
  // Equal times keep the order in which the service told them; the first event is the oldest of all.
  return lines.map((line, at) => ({ line, at })).sort((left, right) => Date.parse(right.line.time) - Date.parse(left.line.time) || left.at - right.at).map(({ line }) => line);
}

/** A change in words: `Reopened by an event in 2026.11.3`. */
export function sentence(entry: HistoryEntry, now: Date): string {
  const text = (key: string) => (typeof entry[key] === "string" ? (entry[key] as string) : "");
  const number = (key: string) => (typeof entry[key] === "number" ? (entry[key] as number) : 0);
  switch (entry.action) {
    case "resolved":
      return text("in_release") ? `Resolved in ${text("in_release")}` : "Resolved";
    case "reopened":
      if (text("by") !== "report") return text("by") === "time" ? "Open again, its time was over" : "Reopened";
      return text("release") ? `Reopened by an event in ${text("release")}` : "Reopened by an event";
    case "ignored":
      return `Ignored${untilText(number("until_ms"), number("reports"), now)}`;
    case "noted":
      return "Note written";
    case "merged":
      return `Issue ${number("id")} merged into this one, with ${plural(number("reports"), "event")}`;
    default:
      return entry.action.charAt(0).toUpperCase() + entry.action.slice(1).replaceAll("_", " ");
  }
}

function untilText(until: string | number | null | undefined, events: number | null, now: Date): string {
  const parts = [until ? dayTime(new Date(until), now) : "", events ? plural(events, "more event") : ""].filter(Boolean);
  return parts.length > 0 ? ` until ${parts.join(" or ")}` : " for ever";
}

/** What was decided about an issue and what ends it; null for an open one. */
export function decisionText(group: GroupDetail, now: Date): string | null {
  switch (stateOf(group)) {
    case "open":
      return null;
    case "resolved":
      return group.resolved_in_release ? `Resolved in ${group.resolved_in_release}: only a newer release opens it again.` : "Resolved: the next event opens it again.";
    case "ignored": {
      const events = group.ignored_until_count ? Math.max(1, group.ignored_until_count - group.count) : null;
      return `Ignored${untilText(group.ignored_until, events, now)}.`;
    }
  }
}

/** Events of each of the newest days in the reader's zone, today last, and when the first of them began. */
export function byDay(hourly: readonly { hour: string; count: number }[], now: Date): { counts: number[]; from: Date } {
  const from = new Date(now);
  from.setHours(0, 0, 0, 0);
  from.setDate(from.getDate() - (DAYS_SHOWN - 1));
  const counts = new Array<number>(DAYS_SHOWN).fill(0);
  for (const { hour, count } of hourly) {
    const at = dayOf(new Date(hour), from);
    if (at !== null) counts[at] = (counts[at] ?? 0) + count;
  }
  return { counts, from };
}

/** The number of a moment's day counted from `from`, or null when it is not shown. Days may have 23 or 25 hours. */
export function dayOf(time: Date, from: Date): number | null {
  const start = new Date(time);
  start.setHours(0, 0, 0, 0);
  const at = Math.round((start.getTime() - from.getTime()) / DAY);
  return at >= 0 && at < DAYS_SHOWN ? at : null;
}

/** `612`, or `≈ 2,918` when they were counted by a sketch; unknown when no report named one. */
export function usersText(users: number | undefined, exact: boolean | undefined, format: (value: number) => string): string {
  if (!users) return UNKNOWN;
  return (exact === false ? "≈\u202f" : "") + format(users);
}
