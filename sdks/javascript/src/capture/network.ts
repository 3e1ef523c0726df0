import { describe } from "../lib/json.ts";
import type { Uninstall } from "../lib/listen.ts";
import { now } from "../lib/now.ts";
import { patch } from "../lib/patch.ts";
import { safe } from "../lib/safe.ts";
import { callerFrames } from "../lib/stack.ts";
import type { Report } from "./errors.ts";

/** Adds a metric; labels of the page are added by the client. */
export type Measure = (
  name: string,
  type: "counter" | "histogram",
  value: number,
  labels: Record<string, string>,
) => void;

/**
 * Ends the clock of one request. The status is 0 when there is none (failed, cancelled, opaque);
 * `failure` says why it failed and is left out for cancelled ones, which are no errors.
 */
type Finish = (status: number, failure?: string | false) => void;

/** Starts the clock of one request; undefined when it is none of our business. */
export type Begin = (method: unknown, url: URL) => Finish | undefined;

/** Resolves a URL as the browser would. Throws when it is none. */
function resolve(url: unknown): URL {
  return new URL(String(url), document.baseURI);
}

/** URL for messages: no query, no fragment, and ids in the path replaced, so that messages repeat. */
function pattern({ origin, pathname }: URL): string {
  // Numbers, UUIDs and other long hexadecimal ids.
  const ids = /\/(?:\d+|[\da-f-]{24,})(?=\/|$)/gi;
  return origin + pathname.replace(ids, "/{id}");
}

/**
 * What `fetch` and `XMLHttpRequest` have in common: two metrics for each finished request, and an
 * error for answers of 500 and above and for failed requests. `isOwn` recognises the SDK's own
 * requests by their URL.
 */
export function watchRequests(report: Report, measure: Measure, isOwn: (url: string) => boolean): Begin {
  return (method, url) => {
    if (!url.protocol.startsWith("http") || isOwn(url.href)) return undefined;
    const verb = String(method || "GET").toUpperCase();
    const site = new Error();
    const started = now();
    return (status, failure) => {
      const labels = { method: verb, status: String(status), host: url.host };
      measure("browser_http_requests_total", "counter", 1, labels);
      measure("browser_http_request_duration_ms", "histogram", now() - started, labels);
      if (status >= 500) failure = `failed with status ${status}`;
      if (failure) {
        report(
          { type: "Error", message: `${verb} ${pattern(url)} ${failure}`, stack: callerFrames(site) },
          { type: "NetworkError" },
        );
      }
    };
  };
}

/** Watches `fetch`; the duration is that until the headers are there. */
export function installFetch(begin: Begin): Uninstall {
  return patch(window, "fetch", (_self, [input, init]) => {
    const request = Object(input) as Partial<Request>;
    const options = Object(init) as RequestInit;
    const finish = begin(options.method || request.method, resolve(request.url || input));
    if (!finish) return undefined;
    const done = safe(finish);
    const failed = safe((error: any) => {
      const signal = options.signal || request.signal;
      const cancelled = error?.name === "AbortError" || (signal?.aborted && error?.name !== "TimeoutError");
      finish(0, !cancelled && `network error: ${error?.message || describe(error)}`);
    });
    return (result) =>
      // The page gets this promise and not the original: looking at the original would mark its
      // rejection as handled.
      (result as Promise<Response>).then(
        (response) => {
          done(response.status);
          return response;
        },
        (error) => {
          failed(error);
          throw error;
        },
      );
  });
}

/** What is known of a request object, which can be opened and sent many times. */
interface Exchange {
  _method?: unknown;
  _url?: URL;
  /** Set while a request is under way. */
  _finish?: Finish;
  _cancelled?: boolean;
}

/** Watches `XMLHttpRequest`; the duration is that until the end of the body. */
export function installXhr(begin: Begin): Uninstall {
  const exchanges = new WeakMap<object, Exchange>();
  const prototype = window.XMLHttpRequest?.prototype;

  const offOpen = patch(prototype, "open", (self, [method, url]) => {
    const xhr = self as XMLHttpRequest;
    let exchange = exchanges.get(xhr);
    if (!exchange) {
      const created: Exchange = (exchange = {});
      exchanges.set(xhr, created);
      // One listener for the life of the object, however often it is used.
      xhr.addEventListener("abort", () => {
        created._cancelled = true;
      });
      xhr.addEventListener(
        "loadend",
        safe(() => {
          const finish = created._finish;
          created._finish = undefined;
          finish?.(xhr.status, !xhr.status && !created._cancelled && "network error");
        }),
      );
    }
    // Opening anew ends, without any event, what is still under way.
    exchange._finish = exchange._url = undefined;
    exchange._method = method;
    exchange._url = resolve(url);
  });

  const offSend = patch(prototype, "send", (self) => {
    const exchange = exchanges.get(self as object);
    if (!exchange?._url) return;
    exchange._cancelled = false;
    exchange._finish = begin(exchange._method, exchange._url);
  });

  return () => {
    offSend();
    offOpen();
  };
}
