/** What the error tracker answers, and the questions the pages ask. */
import { type Answer, request } from "@kit/api";

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
}

export interface GroupList {
  errors: Group[];
  /** All that match the filters, however many are listed. */
  total: number;
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
}

export interface GroupDetail extends Omit<Group, "source"> {
  traceback: string;
  resolved_at: string | null;
  /** Newest first, at most five. */
  occurrences: Occurrence[];
}

/** `open`, `resolved` or `all`. */
export type State = "open" | "resolved" | "all";

export interface Filters {
  state: State;
  project: string;
  source: string;
  session: string;
  since: Date | undefined;
}

/** The newest groups first. `limit` is at most 200. */
export function listGroups(filters: Filters, limit: number, offset: number, signal?: AbortSignal): Promise<Answer<GroupList>> {
  const resolved = { open: null, resolved: "true", all: "all" }[filters.state];
  return request<GroupList>("api/errors", {
    query: {
      resolved,
      project: filters.project,
      source: filters.source,
      session_id: filters.session,
      // The service keeps whole seconds.
      since: filters.since ? `${filters.since.toISOString().slice(0, 19)}Z` : null,
      limit,
      offset: offset || null,
    },
    ...(signal ? { signal } : {}),
  });
}

export function getGroup(id: number, signal: AbortSignal): Promise<Answer<GroupDetail>> {
  return request<GroupDetail>(`api/errors/${id}`, { signal });
}

export async function resolveGroup(id: number): Promise<void> {
  await request(`api/errors/${id}/resolve`, { method: "POST" });
}

export function listProjects(signal: AbortSignal): Promise<Answer<{ projects: string[] }>> {
  return request<{ projects: string[] }>("api/projects", { signal });
}
