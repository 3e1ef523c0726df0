/** What the error tracker answers, and the questions the pages ask. */
import { type Answer, request } from "@kit/api";

/** What people decided about an issue. */
export type GroupState = "open" | "ignored" | "resolved";

export interface Group {
  id: number;
  fingerprint: string;
  project: string;
  exception_type: string;
  message: string;
  count: number;
  /** ISO 8601, UTC. */
  first_seen: string;
  last_seen: string;
  resolved: boolean;
  source: "browser" | "server";
  state?: GroupState;
  /** Open again after somebody had dealt with it. */
  reopened?: boolean;
  /** Distinct users; 0 when no report named one. */
  users?: number;
  /** Of the newest report. */
  level?: string | null;
  release?: string | null;
  /** Events in each of the newest 24 hours, the running one last. */
  sparkline?: number[];
}

export interface GroupList {
  errors: Group[];
  /** All that match the filters, however many are listed. */
  total: number;
  /** False when `total` is only where the counting ended. */
  total_exact?: boolean;
  /** Leads to the next page; null behind the last one. */
  next_cursor?: string | null;
  limit: number;
  offset: number;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Occurrence {
  id: number;
  timestamp: string;
  request_url: string | null;
  request_method: string | null;
  request_headers: Json;
  user_id: string | null;
  extra: Json;
  traceback: string;
  message?: string;
  level?: string | null;
  release?: string | null;
  environment?: string | null;
  server_name?: string | null;
  tags?: Json;
}

/** A change of an issue. What else there is depends on the action. */
export interface HistoryEntry {
  time: string;
  action: string;
  [detail: string]: Json | undefined;
}

export interface GroupDetail extends Omit<Group, "source"> {
  traceback: string;
  resolved_at: string | null;
  /** Newest first, at most five. */
  occurrences: Occurrence[];
  first_occurrence?: Occurrence | null;
  users_exact?: boolean;
  note?: string | null;
  /** Only a newer release reopens it. */
  resolved_in_release?: string | null;
  ignored_until?: string | null;
  /** The number of events at which it comes back. */
  ignored_until_count?: number | null;
  history?: HistoryEntry[];
  /** Events by hour, the oldest first; hours without any are left out. */
  hourly?: { hour: string; count: number }[];
}

/** An older service only says whether an issue is resolved. */
export function stateOf(group: Pick<Group, "state" | "resolved">): GroupState {
  return group.state ?? (group.resolved ? "resolved" : "open");
}

/** The states a list can show. */
export type State = GroupState | "all";
export const SORTS = ["last_seen", "first_seen", "count", "users"] as const;
export type Sort = (typeof SORTS)[number];

/** Filters with one value each, by their names in the URL of the page. */
export const FACTS = ["project", "source", "level", "release", "environment", "server_name", "tag", "user", "session"] as const;
export type Fact = (typeof FACTS)[number];

export interface Filters extends Record<Fact, string> {
  state: State;
  search: string;
  sort: Sort;
  since: Date | undefined;
  until: Date | undefined;
}

/** Where a page of a list begins: behind a cursor, else behind so many rows. */
export type Start = { cursor: string } | { offset: number };

/** `limit` is at most 200. */
export function listGroups({ state, session, since, until, sort, ...rest }: Filters, limit: number, start: Start = { offset: 0 }, signal?: AbortSignal): Promise<Answer<GroupList>> {
  // The service keeps whole seconds.
  const seconds = (time: Date | undefined) => (time ? `${time.toISOString().slice(0, 19)}Z` : null);
  return request<GroupList>("api/errors", {
    query: {
      ...rest,
      state,
      session_id: session,
      since: seconds(since),
      until: seconds(until),
      sort: sort === "last_seen" ? null : sort,
      sparkline: limit > 1 ? "24h" : null,
      limit,
      ...("cursor" in start ? start : { offset: start.offset || null }),
    },
    ...(signal ? { signal } : {}),
  });
}

export function getGroup(id: number, signal?: AbortSignal): Promise<Answer<GroupDetail>> {
  return request<GroupDetail>(`api/errors/${id}`, signal ? { signal } : {});
}

/** A change of many issues, and what it needs to know beside their ids. */
export type Change =
  | { action: "resolve"; in_release?: string }
  | { action: "reopen" }
  | { action: "ignore"; for?: string; until?: string; count?: number }
  | { action: "delete" };

/** Answers how many of the issues there are, and how many were changed. */
export async function changeGroups(ids: readonly number[], change: Change): Promise<{ matched: number; changed: number }> {
  const { data } = await request<{ matched: number; changed: number }>("api/errors/bulk", { method: "POST", body: { ...change, ids } });
  return data;
}

/** An empty note removes it. */
export async function writeNote(id: number, note: string): Promise<void> {
  await request(`api/errors/${id}/note`, { method: "POST", body: { note } });
}

/** Values that issues can be filtered by, the most frequent first. */
export interface FacetValue {
  value: string;
  /** Issues with it. */
  groups: number;
}

export type Facets = Partial<Record<"level" | "release" | "environment" | "server_name" | "tag", FacetValue[]>>;

export function listFacets(project: string, signal: AbortSignal): Promise<Answer<Facets>> {
  return request<Facets>("api/facets", { query: { project }, signal });
}

export function listProjects(signal: AbortSignal): Promise<Answer<{ projects: string[] }>> {
  return request<{ projects: string[] }>("api/projects", { signal });
}
