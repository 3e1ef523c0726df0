import { installConsole } from "./capture/console.ts";
import { installErrors, installRejections, type Report } from "./capture/errors.ts";
import { installFetch, installXhr, watchRequests, type Measure } from "./capture/network.ts";
import { installVitals } from "./capture/vitals.ts";
import { debugIds } from "./lib/debug-ids.ts";
import { cut, describe, encode } from "./lib/json.ts";
import { createLimiter } from "./lib/limiter.ts";
import { listen, type Uninstall } from "./lib/listen.ts";
import { named } from "./lib/patch.ts";
import { safe, warn } from "./lib/safe.ts";
import { scrubber } from "./lib/scrub.ts";
import { sessionId, uuid } from "./lib/session.ts";
import { callerFrames, describeError, topFrame } from "./lib/stack.ts";
import { createTransport } from "./transport.ts";
import type { BrowserError, BrowserMetric, MonlightClient, ResolvedConfig } from "./types.ts";

/** Lengths in UTF-16 units, and a number of keys. */
const enum Limit {
  // The tracker takes names of up to 200 bytes.
  Type = 100,
  Message = 8192,
  Stack = 16_384,
  ContextKeys = 100,
}
const ERROR = "ConsoleError";
const WARNING = "ConsoleWarning";

/** What a disabled client, and every client outside of a page, is. */
export const NOOP: MonlightClient = {
  captureError() {},
  captureMessage() {},
  setUser() {},
  addContext() {},
  flush: () => Promise.resolve(true),
  destroy() {},
};

/**
 * Installs everything for one project and returns a function that hands out clients. They share
 * what is installed; it is taken out, and `onClose` called, when the last of them is destroyed.
 */
export function createCore(
  config: ResolvedConfig,
  isOwn: (url: string) => boolean,
  onClose: () => void,
): () => MonlightClient {
  const context: Record<string, unknown> = {};
  const scrub = scrubber(config.scrubParams);
  const limit = createLimiter();
  let user: unknown;
  let clients = 0;

  const metric = (
    name: string,
    type: BrowserMetric["type"],
    value: number,
    labels: Record<string, string>,
  ): BrowserMetric => ({
    name,
    type,
    value,
    labels: { ...labels, session_id: sessionId(), page: labels.page || location.pathname },
    timestamp: new Date().toISOString(),
  });

  const transport = createTransport(config, (reason, items) =>
    metric("browser_events_dropped_total", "counter", items, { reason }),
  );
  const measure: Measure = (...args) => transport._metric(metric(...args));

  const isIgnored = (text: string): boolean =>
    !!config.ignoreErrors?.some((rule) =>
      // `search` disregards the state of patterns with the g flag.
      typeof rule === "string" ? text.includes(rule) : text.search(rule) >= 0,
    );

  const report: Report = (error, extra) => {
    const type = cut(error.type, Limit.Type);
    const message = scrub(cut(error.message, Limit.Message));
    const title = `${type}: ${message}`;
    if (isIgnored(title)) return;
    // The tracker groups by the first frame, or by the whole text if there is none: without a stack
    // the title at least keeps different errors apart.
    const stack = scrub(cut(error.stack || title, Limit.Stack));
    const verdict = limit(`${title}\n${topFrame(stack)}`);
    if (verdict) return transport._drop(verdict, 1);

    let event: BrowserError | null | undefined | false = {
      type,
      message,
      stack,
      url: scrub(location.href),
      user_agent: navigator.userAgent,
      session_id: sessionId(),
      event_id: uuid(),
      context: {
        // JSON leaves out what is undefined.
        environment: config.environment,
        ...context,
        ...extra,
        ...((user && { user_id: user }) as object),
      },
      release: config.release,
      debug_ids: safe(debugIds)(stack, scrub),
      timestamp: new Date().toISOString(),
    };
    if (config.beforeSend) {
      try {
        event = config.beforeSend(event);
      } catch (fault) {
        // It may be there to remove private data, so the event must not go out without it.
        warn("beforeSend failed:", fault);
        return transport._drop("before_send", 1);
      }
    }
    if (event) transport._send("/api/browser/errors", encode(event), 1);
  };

  const beforeHide: (() => void)[] = [];
  const offs: (Uninstall | undefined)[] = [];
  const install = <A extends unknown[]>(part: (...args: A) => Uninstall, ...args: A): unknown =>
    offs.unshift(safe(part)(...args));

  install(installErrors, report);
  install(installRejections, report);
  if (config.captureConsole) {
    install(installConsole, report, "error", ERROR);
    install(installConsole, report, "warn", WARNING);
  }
  const begin = watchRequests(report, measure, isOwn);
  install(installFetch, begin);
  install(installXhr, begin);
  if (Math.random() < config.sampleRate) {
    install(
      installVitals,
      (name, value, page) => measure(name, "histogram", value, { page }),
      (fn) => beforeHide.push(fn),
    );
  }

  // After the vitals, so that they know when the page was hidden before they are asked to report.
  install(listen, window, "visibilitychange pagehide", ({ type }) => {
    if (type !== "pagehide" && !document.hidden) return;
    beforeHide.forEach((fn) => safe(fn)());
    transport._flush(true);
  });

  const close = safe(() => {
    for (const off of offs) off && safe(off)();
    safe(transport._stop)();
    onClose();
  });

  return () => {
    let alive = true;
    clients++;
    /** A method of the client: guarded, without effect once destroyed, and known to `callerFrames`. */
    const method = <A extends unknown[]>(fn: (...args: A) => void): ((...args: A) => void) =>
      named(
        safe((...args: A) => {
          if (alive) fn(...args);
        }),
      );

    return {
      captureError: method((error: unknown, extra?: Record<string, unknown>) => {
        const described = describeError(error, "Error");
        described.stack ||= callerFrames(new Error());
        report(described, extra);
      }),
      captureMessage: method((message: string, level?: string) =>
        report({
          type: level === "warning" ? WARNING : ERROR,
          message: describe(message),
          stack: callerFrames(new Error()),
        }),
      ),
      setUser: method((id: unknown) => {
        user = id;
      }),
      addContext: method((key: string, value: unknown) => {
        if (key in context || Object.keys(context).length < Limit.ContextKeys) context[key] = value;
      }),
      flush: (timeout = 5000) => (alive ? transport._idle(timeout) : NOOP.flush()),
      destroy: method(() => {
        alive = false;
        if (!--clients) close();
      }),
    };
  };
}
