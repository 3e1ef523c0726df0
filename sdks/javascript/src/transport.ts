import { byteLength, encode } from "./lib/json.ts";
import { now } from "./lib/now.ts";
import { fault, safe, warn } from "./lib/safe.ts";
import { uuid } from "./lib/session.ts";
import type { BrowserMetric, ResolvedConfig } from "./types.ts";

const METRICS_PATH = "/api/browser/metrics";

/** Bounds; a const enum, because its members cost no bytes in the bundle. */
const enum Limit {
  Batch = 10,
  FlushMs = 5_000,
  Queue = 50,
  Parallel = 4,
  Tries = 5,
  BackoffMs = 60_000,
  RetryAfterMs = 600_000,
  // Browsers allow 64 KiB of keepalive bodies in flight per page, and refuse what goes beyond.
  KeepaliveBytes = 60_000,
  KeepaliveRequests = 9,
}

/** One request that waits or is on its way. */
interface Job {
  _path: string;
  _body: string;
  _bytes: number;
  /** Errors or metrics in it. */
  _items: number;
  _tries: number;
}

/** Why something was not delivered: the label `reason` of `browser_events_dropped_total`. */
export type DropReason = "duplicate" | "rate_limit" | "before_send" | "queue_full" | "rejected" | "undelivered";

/** The way to the relay. */
export interface Transport {
  /** Buffers a metric; ten of them, or five seconds, make a request. */
  _metric(metric: BrowserMetric): void;
  /** Queues a body for a path of the relay. */
  _send(path: string, body: string, items: number): void;
  /** Counts what is not delivered. The counts go out with the next metrics. */
  _drop(reason: DropReason, items: number): void;
  /** Sends what waits; `last` when there may be no later chance. */
  _flush(last: boolean): void;
  /** Sends what waits; resolves when nothing does any more, or with false after `timeout` milliseconds. */
  _idle(timeout: number): Promise<boolean>;
  /** Sends what waits, once, and ends all timers. */
  _stop(): void;
}

/** `Retry-After` in milliseconds, or the relay's `retry_after` where CORS hides the header; 0 if none. */
async function retryAfter(response: Response): Promise<number> {
  try {
    const wait = response.headers.get("Retry-After") || (await response.json()).retry_after;
    return (wait >= 0 ? wait * 1000 : Date.parse(wait) - Date.now()) || 0;
  } catch {
    return 0;
  }
}

/**
 * Makes a transport with a bounded queue. Failed requests are tried up to five times with growing,
 * randomised pauses; a `Retry-After` of the relay is kept to. `dropMetric` makes the metric that
 * tells of what was dropped. A repetition is the same body, and the relay knows it by the id in it.
 */
export function createTransport(
  config: ResolvedConfig,
  dropMetric: (reason: string, items: number) => BrowserMetric,
): Transport {
  const fetch = window.fetch;
  const canKeepAlive = window.Request && "keepalive" in Request.prototype;
  const queue: Job[] = [];
  const dropped = new Map<DropReason, number>();
  const waiting = new Set<() => void>();
  /** What is on its way and might still wait for a preflight. */
  const asking = new Set<Job>();
  let buffer: BrowserMetric[] = [];
  let active = 0;
  let keptBytes = 0;
  let failures = 0;
  let retryAt = 0;
  let pausedUntil = 0;
  let flushTimer: ReturnType<typeof setTimeout> | undefined;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  const drop = (reason: DropReason, items: number, detail?: number): void => {
    dropped.set(reason, (dropped.get(reason) || 0) + items);
    warn(`${items} not sent: ${reason}`, detail);
  };

  // Of a page that ends, a request that needs a preflight may be lost between the two. One with a plain text body and no
  // headers needs none, so the key goes into the URL.
  const simpleUrl = (job: Job): string => `${config.endpoint + job._path}?key=${encodeURIComponent(config.dsn)}`;

  const beacon = (job: Job): boolean => {
    try {
      return navigator.sendBeacon(simpleUrl(job), job._body);
    } catch {
      return false;
    }
  };

  const enqueue = (job: Job): void => {
    queue.push(job);
    if (queue.length > Limit.Queue) drop("queue_full", queue.shift()!._items);
  };

  const post = async (job: Job, last: boolean): Promise<void> => {
    const keepalive =
      canKeepAlive &&
      (last || !job._tries) &&
      active < Limit.KeepaliveRequests &&
      keptBytes + job._bytes <= Limit.KeepaliveBytes;
    if (((last && !keepalive) || !fetch) && beacon(job)) return;

    const share = keepalive ? job._bytes : 0;
    active++;
    keptBytes += share;
    job._tries++;
    if (!last) asking.add(job);
    let retry = true;
    let wait = 0;
    try {
      const response = await fetch(last ? simpleUrl(job) : config.endpoint + job._path, {
        method: "POST",
        headers: last ? {} : { "Content-Type": "application/json", "X-Monlight-Key": config.dsn },
        body: job._body,
        keepalive,
      });
      const { status } = response;
      retry = status === 408 || status === 429 || status >= 500;
      if (retry) wait = await retryAfter(response);
      else if (!response.ok) drop("rejected", job._items, status);
    } catch (error) {
      warn("Transport error:", error);
      // The page may have used up the keepalive budget itself.
      retry = !(last && beacon(job));
    }
    asking.delete(job);
    active--;
    keptBytes -= share;
    if (retry) {
      const time = now();
      pausedUntil = Math.max(pausedUntil, time + Math.min(wait, Limit.RetryAfterMs));
      // Requests that were under way together fail together: that is one failure.
      if (time >= retryAt) {
        retryAt = time + Math.min(1000 * 2 ** failures++, Limit.BackoffMs) * (0.5 + Math.random() / 2);
      }
      if (job._tries < Limit.Tries && !stopped) enqueue(job);
      else drop("undelivered", job._items);
    } else {
      failures = 0;
    }
    pump(false);
  };

  const pump = (last: boolean): void => {
    const wait = Math.max(pausedUntil, last ? 0 : retryAt) - now();
    while (wait <= 0 && queue.length && (last || active < Limit.Parallel)) post(queue.shift()!, last).catch(fault);
    clearTimeout(retryTimer);
    if (wait > 0 && queue.length && !stopped) retryTimer = setTimeout(safe(pump), wait, false);
    if (!queue.length && !active) waiting.forEach((done) => done());
  };

  const add = (path: string, body: string, items: number): void => {
    if (!stopped) enqueue({ _path: path, _body: body, _bytes: byteLength(body), _items: items, _tries: 0 });
  };

  const flush = (last: boolean): void => {
    clearTimeout(flushTimer);
    flushTimer = undefined;
    if (buffer.length) {
      for (const [reason, items] of dropped) buffer.push(dropMetric(reason, items));
      dropped.clear();
      const metrics = buffer;
      buffer = [];
      add(METRICS_PATH, encode({ event_id: uuid(), metrics }), metrics.length);
    }
    pump(last);
    // The relay knows by the ids what comes twice.
    if (last) asking.forEach((job) => beacon(job) && asking.delete(job));
  };

  return {
    _metric(metric) {
      if (stopped) return;
      buffer.push(metric);
      if (buffer.length >= Limit.Batch) flush(false);
      else flushTimer ||= setTimeout(safe(flush), Limit.FlushMs, false);
    },
    _send(path, body, items) {
      add(path, body, items);
      pump(false);
    },
    _drop: drop,
    _flush: flush,
    _idle: (timeout) =>
      new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done);
          resolve(!queue.length && !active);
        };
        waiting.add(done);
        setTimeout(done, timeout);
        // Even if this fails the promise must end, by the time-out.
        safe(flush)(false);
      }),
    _stop() {
      flush(true);
      stopped = true;
      clearTimeout(retryTimer);
    },
  };
}
