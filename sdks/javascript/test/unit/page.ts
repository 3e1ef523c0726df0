import { mock } from "node:test";
import type { MonlightConfig } from "../../src/types.ts";

const NodeRequest = Request;

/** A request that reached the relay, by fetch or by beacon. */
export interface Delivery {
  via: "fetch" | "beacon";
  url: string;
  body: any;
  headers: Record<string, string>;
  keepalive: boolean;
}

type Answer = () => Response | Promise<Response>;

/** A performance entry as the tests write it. */
export interface FakeEntry {
  entryType?: string;
  name?: string;
  startTime: number;
  duration?: number;
  [key: string]: unknown;
}

class FakeXhr extends EventTarget {
  status = 0;
  open(_method: string, _url: string): void {}
  send(_body?: unknown): void {}
  /** Ends the request as the network would. */
  finish(status: number, event = "load"): void {
    this.status = status;
    this.dispatchEvent(new Event(event));
    this.dispatchEvent(new Event("loadend"));
  }
}

/**
 * Stands in for a browser: enough of the globals for the SDK, a clock that only moves when told,
 * and a relay that keeps what it gets. Everything is new for each page.
 */
export class Page {
  readonly relay: Delivery[] = [];
  /** Answers of the relay, in order; afterwards 202. */
  readonly answers: Answer[] = [];
  /** What the page's own requests get. */
  app: Answer = () => new Response("", { status: 200 });
  beaconAccepts = true;
  time = 1000;
  readonly observers: { type: string; callback: (list: unknown) => void; options: any; queue: FakeEntry[] }[] = [];
  supported = ["largest-contentful-paint", "paint", "layout-shift", "event", "first-input", "navigation"];
  readonly timeline: FakeEntry[] = [];
  readonly window: any;
  readonly document: any;
  readonly storage = new Map<string, string>();
  readonly nativeFetch: typeof fetch;
  readonly Xhr: typeof FakeXhr;
  readonly logged: unknown[][] = [];

  constructor() {
    const page = this;
    mock.timers.reset();
    mock.timers.enable({ apis: ["setTimeout"] });
    this.window = new EventTarget();
    this.document = Object.assign(new EventTarget(), {
      hidden: false,
      visibilityState: "visible",
      readyState: "complete",
      baseURI: "https://shop.example/cart/7?x=1",
    });
    this.nativeFetch = (async (input: any, init: any = {}) => {
      const url = new URL(input?.url ?? input, page.document.baseURI).href;
      if (!url.includes("/api/browser/")) {
        if (init.signal?.aborted) throw init.signal.reason;
        return page.app();
      }
      page.relay.push({
        via: "fetch",
        url,
        body: JSON.parse(init.body),
        headers: init.headers,
        keepalive: init.keepalive,
      });
      return (page.answers.shift() ?? (() => new Response("{}", { status: 202 })))();
    }) as typeof fetch;
    this.Xhr = class extends FakeXhr {
      // Own methods for each page, because the SDK patches the prototype.
      override open(): void {}
      override send(): void {}
    };
    class Observer {
      static get supportedEntryTypes(): string[] {
        return page.supported;
      }
      #own: (typeof page.observers)[number][] = [];
      constructor(private callback: (list: unknown) => void) {}
      observe(options: any): void {
        const entry = { type: options.type, callback: this.callback, options, queue: [] };
        this.#own.push(entry);
        page.observers.push(entry);
      }
      disconnect(): void {
        for (const own of this.#own) page.observers.splice(page.observers.indexOf(own), 1);
      }
      takeRecords(): FakeEntry[] {
        return this.#own.flatMap((own) => own.queue.splice(0));
      }
    }
    Object.assign(this.window, { fetch: this.nativeFetch, XMLHttpRequest: this.Xhr, Request: NodeRequest });
    const globals: Record<string, unknown> = {
      window: this.window,
      Request: NodeRequest,
      document: this.document,
      location: { href: "https://shop.example/cart/7?x=1&token=abc#top", pathname: "/cart/7" },
      navigator: {
        userAgent: "UnitTest/1.0",
        sendBeacon(url: string, body: string) {
          if (!page.beaconAccepts) return false;
          page.relay.push({ via: "beacon", url, body: JSON.parse(body), headers: {}, keepalive: true });
          return true;
        },
      },
      performance: {
        now: () => page.time,
        getEntriesByType: (type: string) => page.timeline.filter((entry) => entry.entryType === type),
      },
      PerformanceObserver: Observer,
      sessionStorage: {
        getItem: (key: string) => page.storage.get(key) ?? null,
        setItem: (key: string, value: string) => void page.storage.set(key, value),
      },
      requestAnimationFrame: (fn: () => void) => setTimeout(fn, 16),
    };
    for (const [name, value] of Object.entries(globals)) {
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
    console.warn = (...args: unknown[]) => void page.logged.push(["warn", ...args]);
    console.error = (...args: unknown[]) => void page.logged.push(["error", ...args]);
  }

  /** Options for `init`; no vitals unless asked for. */
  config(options: Partial<MonlightConfig> = {}): MonlightConfig {
    return { dsn: "k1", endpoint: "https://relay.example", sampleRate: 0, ...options };
  }

  /** Moves the clock, running what is due, and lets promises settle. */
  async tick(ms: number): Promise<void> {
    await settle();
    this.time += ms;
    mock.timers.tick(ms);
    await settle();
  }

  /** Dispatches an event with the given fields. */
  emit(target: EventTarget, type: string, fields: object = {}): void {
    const event = new Event(type);
    for (const [key, value] of Object.entries({ timeStamp: this.time, ...fields })) {
      Object.defineProperty(event, key, { value });
    }
    target.dispatchEvent(event);
  }

  setHidden(hidden: boolean): void {
    this.document.hidden = hidden;
    this.document.visibilityState = hidden ? "hidden" : "visible";
    this.emit(this.window, "visibilitychange");
  }

  /** Announces performance entries to the observers of that type. */
  perform(type: string, ...entries: FakeEntry[]): void {
    for (const observer of [...this.observers]) {
      if (observer.type === type) observer.callback({ getEntries: () => entries });
    }
  }

  get errors(): any[] {
    return this.relay.filter(({ url }) => url.includes("/errors")).map(({ body }) => body);
  }

  get metrics(): any[] {
    return this.relay.filter(({ url }) => url.includes("/metrics")).flatMap(({ body }) => body.metrics);
  }

  /** Values of the delivered metrics of one name. */
  values(name: string): number[] {
    return this.metrics.filter((metric) => metric.name === name).map(({ value }) => value);
  }
}

/** Lets all promise reactions that are due run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
