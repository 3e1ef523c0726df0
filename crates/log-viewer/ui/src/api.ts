/** What the log viewer answers, and the questions the page asks. */
import { type Answer, apiUrl, request } from "@kit/api";

export type Level = "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";

export interface Line {
  id: number;
  /** ISO 8601, UTC, whole seconds. */
  timestamp: string;
  /** The exact time, when the service has it. */
  time?: string;
  container: string;
  stream: string;
  level: string;
  message: string;
}

export interface LineList {
  /** Newest first. */
  logs: Line[];
  total: number;
  /** False when `total` is a floor: there are at least so many. */
  total_exact?: boolean;
  limit: number;
  offset: number;
}

export interface Filters {
  container: string;
  /** `ERROR`, or `>=ERROR` for it and what is worse. */
  level: string;
  search: string;
  since: Date | undefined;
  until: Date | undefined;
}

/** At most this many lines an answer. */
export const PAGE = 500;

function query(filters: Filters) {
  return { container: filters.container, level: filters.level, search: filters.search };
}

export function listLines(filters: Filters, signal?: AbortSignal, limit = PAGE): Promise<Answer<LineList>> {
  return request<LineList>("api/logs", {
    query: { ...query(filters), since: filters.since?.toISOString(), until: filters.until?.toISOString(), limit },
    ...(signal ? { signal } : {}),
  });
}

/** The lines up to the time of `line`, itself among them. */
export function listBefore(filters: Filters, line: Line): Promise<Answer<LineList>> {
  return request<LineList>("api/logs", {
    query: { ...query(filters), since: filters.since?.toISOString(), until: line.time ?? line.timestamp, limit: PAGE },
  });
}

/** The lines from the time of `line` on, itself among them. */
export function listFrom(filters: Filters, line: Line): Promise<Answer<LineList>> {
  return request<LineList>("api/logs", { query: { ...query(filters), since: line.time ?? line.timestamp, limit: PAGE } });
}

/** Where the live tail of a filter is. */
export function tailUrl(filters: Filters): string {
  return apiUrl("api/logs/tail", query(filters));
}

export function listContainers(signal: AbortSignal): Promise<Answer<{ containers: { name: string; log_count: number }[] }>> {
  return request("api/containers", { signal });
}

export function getStats(signal: AbortSignal): Promise<Answer<{ total_logs: number; oldest_log: string | null; newest_log: string | null }>> {
  return request("api/stats", { signal });
}

const times = new WeakMap<Line, number>();

/** The moment of a line in milliseconds, read once. */
export function timeOf(line: Line): number {
  let time = times.get(line);
  if (time === undefined) {
    time = Date.parse(line.time ?? line.timestamp);
    times.set(line, time);
  }
  return time;
}
