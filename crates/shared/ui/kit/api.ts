/** The client of a service's JSON API. The session cookie carries the key, no script sees it. */
import { root } from "./url";

/**
 * Why a request failed:
 * `signed-out` 401 · `missing` 404 · `refused` another 4xx, the reason is in `detail` ·
 * `limited` 429, again after `retryAfter` · `unavailable` 5xx · `gone` no answer at all.
 */
export type FaultKind = "signed-out" | "missing" | "refused" | "limited" | "unavailable" | "gone";

export class Fault extends Error {
  override readonly name = "Fault";
  constructor(
    readonly kind: FaultKind,
    /** What the service said was wrong, or a sentence of ours. */
    readonly detail: string,
    /** Seconds until the next try makes sense, when the service named them. */
    readonly retryAfter: number | null = null,
    readonly status = 0,
    /** The request's id, to be found in the service's log. */
    readonly requestId: string | null = null,
  ) {
    super(detail);
  }
}

export interface Answer<T> {
  data: T;
  /** Milliseconds: as the service measured them, else as the page did. */
  took: number;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Request {
  method?: "GET" | "POST" | "DELETE";
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
}

/** The address of an API route below the root, with its query; null and empty values are left out. */
export function apiUrl(path: string, query: Query = {}, base: URL = root): string {
  const url = new URL(path, base);
  for (const [key, value] of Object.entries(query)) {
    if (value != null && value !== "") url.searchParams.set(key, String(value));
  }
  return url.href;
}

/**
 * Asks the service. Throws a {@link Fault}, or the `AbortError` when `signal` was aborted.
 * Every request names itself as made by a page, which the service wants on writes by cookie.
 */
export async function request<T>(path: string, options: Request = {}): Promise<Answer<T>> {
  const started = performance.now();
  const init: RequestInit = {
    method: options.method ?? "GET",
    credentials: "same-origin",
    headers: { Accept: "application/json", "X-Requested-With": "monlight" },
  };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(apiUrl(path, options.query), init);
  } catch (reason) {
    if (options.signal?.aborted) throw reason;
    throw new Fault("gone", "The service does not answer.");
  }
  if (!answer.ok) throw await faultOf(answer);
  let data: T;
  try {
    data = (await answer.json()) as T;
  } catch (reason) {
    if (options.signal?.aborted) throw reason;
    throw new Fault("gone", "The answer broke off.");
  }
  const named = (data as { took_ms?: unknown } | null)?.took_ms;
  return { data, took: typeof named === "number" ? named : performance.now() - started };
}

/** What a refusal means for the page. */
export async function faultOf(answer: Response): Promise<Fault> {
  const body = (await answer.json().catch(() => null)) as { detail?: unknown; retry_after?: unknown } | null;
  const detail = typeof body?.detail === "string" ? body.detail : `The service answered ${answer.status}.`;
  const seconds = Number(answer.headers.get("retry-after") ?? body?.retry_after ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
  return new Fault(kindOf(answer.status), detail, retryAfter, answer.status, answer.headers.get("x-request-id"));
}

export function kindOf(status: number): FaultKind {
  if (status === 401) return "signed-out";
  if (status === 404) return "missing";
  if (status === 429) return "limited";
  if (status >= 502 && status <= 504 && status !== 503) return "gone";
  return status >= 500 ? "unavailable" : "refused";
}
