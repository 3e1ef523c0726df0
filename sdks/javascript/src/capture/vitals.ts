import { listen, type Uninstall } from "../lib/listen.ts";
import { now } from "../lib/now.ts";
import { safe } from "../lib/safe.ts";

/** Adds a vital to the buffer, in milliseconds (a plain score for CLS), for the given page path. */
export type Vital = (name: string, value: number, page: string) => void;

/** Fields of performance entries that TypeScript's library does not know in all types. */
interface Entry extends PerformanceEntry {
  value: number;
  hadRecentInput: boolean;
  interactionId: number;
}

interface Interaction {
  _id: number;
  _duration: number;
}

const MAX_INTERACTIONS = 10;

function navigationEntry(): (PerformanceNavigationTiming & { activationStart?: number }) | undefined {
  return performance.getEntriesByType("navigation")[0] as PerformanceNavigationTiming | undefined;
}

/**
 * Measures the Web Vitals as https://web.dev/articles/vitals defines them, each reported once per
 * page view. A restore from the back/forward cache is a new page view; the time before a prerendered
 * page is shown does not count; what was painted while the page was hidden does not count either.
 *
 * `onHide` registers what must happen when the page is hidden, before the buffer is sent.
 */
export function installVitals(vital: Vital, onHide: (fn: () => void) => unknown): Uninstall {
  const offs: Uninstall[] = [];
  if ((document as { prerendering?: boolean }).prerendering) {
    offs.push(listen(document, "prerenderingchange", () => start(vital, onHide, offs)));
  } else {
    start(vital, onHide, offs);
  }
  return () => offs.forEach((off) => off());
}

function start(vital: Vital, onHide: (fn: () => void) => unknown, offs: Uninstall[]): void {
  const activation = navigationEntry()?.activationStart || 0;
  const on = <E extends Event>(types: string, fn: (event: E) => unknown): unknown =>
    offs.push(listen(window, types, fn));
  const sinceActivation = (time: number): number => Math.max(time - activation, 0);

  // When the page was first hidden; a page that is hidden now, with no record of when, always was.
  let hiddenAt =
    performance
      .getEntriesByType("visibility-state")
      .find((entry) => entry.name === "hidden" && entry.startTime >= activation)?.startTime ??
    (document.hidden ? 0 : Infinity);
  let page = location.pathname;
  let painted = false;
  const reported = new Set<string>();

  const once = (name: string, value: number): void => {
    if (reported.has(name)) return;
    reported.add(name);
    vital(name, value, page);
  };

  /** Watches one entry type, if the browser has it; the result handles what is still undelivered. */
  const observe = safe((type: string, handle: (entry: Entry) => void, options?: object): (() => void) | undefined => {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return undefined;
    const all = safe((entries: PerformanceEntryList) => entries.forEach((entry) => handle(entry as Entry)));
    const observer = new PerformanceObserver((list) => all(list.getEntries()));
    observer.observe({ type, buffered: true, ...options });
    offs.push(() => observer.disconnect());
    return () => all(observer.takeRecords());
  });

  // Largest contentful paint: the last candidate before the first input and before hiding.
  let lcp = -1;
  const takeLcp = observe("largest-contentful-paint", (entry) => {
    if (entry.startTime < hiddenAt && !reported.has("web_vitals_lcp")) lcp = sinceActivation(entry.startTime);
  });
  const finishLcp = (): void => {
    takeLcp?.();
    if (lcp >= 0) once("web_vitals_lcp", lcp);
  };
  // A paint of before the input may be announced shortly after it, hence the pause.
  on("keydown click", (event) => event.isTrusted && setTimeout(safe(finishLcp)));

  const takeFcp = observe("paint", (entry) => {
    if (entry.name !== "first-contentful-paint" || entry.startTime >= hiddenAt) return;
    painted = true;
    once("web_vitals_fcp", sinceActivation(entry.startTime));
  });

  // Cumulative layout shift: the largest session window, that is shifts less than 1 s apart within
  // less than 5 s (https://web.dev/articles/cls).
  let cls = 0;
  let windowValue = 0;
  let windowStart = 0;
  let lastShift = 0;
  const takeCls = observe("layout-shift", ({ startTime, value, hadRecentInput }) => {
    if (hadRecentInput) return;
    const same = windowValue && startTime - lastShift < 1000 && startTime - windowStart < 5000;
    if (!same) windowStart = startTime;
    windowValue = same ? windowValue + value : value;
    lastShift = startTime;
    cls = Math.max(cls, windowValue);
  });

  // Interaction to next paint: of every 50 interactions the worst one is left out
  // (https://web.dev/articles/inp). Events of one interaction count as one.
  let longest: Interaction[] = [];
  let lowestId = Infinity;
  let highestId = 0;
  let countBefore = 0;
  const counter = performance as { interactionCount?: number };
  // Ids grow by about 7, for browsers that do not count.
  const countNow = (): number => counter.interactionCount ?? (highestId && (highestId - lowestId) / 7 + 1);
  const onEvent = ({ interactionId: id, duration }: Entry): void => {
    if (!id) return;
    lowestId = Math.min(lowestId, id);
    highestId = Math.max(highestId, id);
    const known = longest.find((interaction) => interaction._id === id);
    if (known) known._duration = Math.max(known._duration, duration);
    else longest.push({ _id: id, _duration: duration });
    longest.sort((a, b) => b._duration - a._duration);
    longest.length = Math.min(longest.length, MAX_INTERACTIONS);
  };
  const takeEvents = observe("event", onEvent, {
    durationThreshold: counter.interactionCount === undefined ? 16 : 40,
  });
  const takeFirstInput = observe("first-input", onEvent);
  const inp = (): number | undefined => {
    const count = countNow() - countBefore;
    const index = Math.min(longest.length - 1, Math.floor(count / 50));
    // After a restore there is no first-input entry, so quick interactions leave no entry at all.
    return longest[index]?._duration ?? (countBefore && count > 0 ? 8 : undefined);
  };

  const timings = (): void => {
    const entry = navigationEntry();
    if (!entry) return;
    const { responseStart, loadEventEnd } = entry;
    if (responseStart > 0 && responseStart < now()) once("web_vitals_ttfb", sinceActivation(responseStart));
    if (loadEventEnd > 0) once("page_load_time", sinceActivation(loadEventEnd));
  };
  // The end of the load event is known only after its handlers.
  const later = (): void => void setTimeout(safe(timings));
  if (document.readyState === "complete") later();
  else on("load", later);

  on("visibilitychange", (event) => {
    if (document.hidden) hiddenAt = Math.min(hiddenAt, event.timeStamp);
  });

  onHide(() => {
    takeFcp?.();
    finishLcp();
    takeCls?.();
    takeEvents?.();
    takeFirstInput?.();
    timings();
    // A page that was never painted has no layout that could have shifted.
    if (painted && takeCls) once("web_vitals_cls", cls);
    const latency = inp();
    if (latency !== undefined) once("web_vitals_inp", latency);
  });

  on<PageTransitionEvent>("pageshow", ({ persisted, timeStamp }) => {
    if (!persisted) return;
    reported.clear();
    // These belong to the load of the document.
    reported.add("web_vitals_ttfb").add("page_load_time");
    page = location.pathname;
    hiddenAt = Infinity;
    painted = false;
    lcp = -1;
    cls = windowValue = 0;
    longest = [];
    countBefore = countNow();
    // Two frames later the restored page has been painted.
    const frame = (then: () => void): number => requestAnimationFrame(safe(then));
    frame(() =>
      frame(() => {
        const shown = now() - timeStamp;
        painted = true;
        once("web_vitals_fcp", shown);
        if (takeLcp) once("web_vitals_lcp", shown);
      }),
    );
  });
}
