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
  /** Not there on pages from a cursor. */
  total?: number;
  /** False when `total` is a floor: there are at least so many. */
  total_exact?: boolean;
  limit: number;
  offset: number;
  /** The line behind which to go on; null at the end. */
  next: number | null;
}

export interface Counts {
  /** ISO 8601; null when nothing is stored. */
  since: string | null;
  until: string | null;
  total: number;
  exact: boolean;
  buckets: { start: string; count: number; by_level: Partial<Record<Level, number>> }[];
}

/** Lines in the order of time. */
export interface Context {
  before: Line[];
  entry: Line;
  after: Line[];
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

function span({ since, until }: Filters) {
  return { since: since?.toISOString(), until: until?.toISOString() };
}

export function listLines(filters: Filters, signal?: AbortSignal): Promise<Answer<LineList>> {
  return request<LineList>("api/logs", { query: { ...query(filters), ...span(filters), limit: PAGE }, ...(signal ? { signal } : {}) });
}

/** The page of lines before or after one. */
export function listBeside(filters: Filters, side: "before" | "after", id: number): Promise<Answer<LineList>> {
  return request<LineList>("api/logs", { query: { ...query(filters), ...span(filters), [side]: id, limit: PAGE } });
}

/** The lines around one, of one container or of all; so many before, and so many after. */
export function getContext(id: number, container: string, beside: number = PAGE / 2): Promise<Answer<Context>> {
  return request<Context>(`api/logs/${id}/context`, { query: { container: container || "all", before: beside, after: beside } });
}

/** How many lines there are over time. */
export function getCounts(filters: Filters, signal: AbortSignal): Promise<Answer<Counts>> {
  return request<Counts>("api/logs/histogram", { query: { ...query(filters), ...span(filters), buckets: 90 }, signal });
}

/** Where the live tail of a filter is, from what came after a line. */
export function tailUrl(filters: Filters, after: number | null): string {
  return apiUrl("api/logs/tail", { ...query(filters), ...(after === null ? {} : { after }) });
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
