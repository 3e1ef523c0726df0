// Visitors of the demo shop: the real browser bundle and a minified shop, each visit in a JavaScript context of its own
// with as much of a browser around it as they ask for. No browser has to be installed for this; the tests use a real one.

import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import vm from "node:vm";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const { build } = await import(pathToFileURL(join(ROOT, "sdks/javascript/node_modules/esbuild/lib/main.js")));
const { settings, urls } = JSON.parse(process.env.MONLIGHT_DEMO);
const RELAY = urls["browser-relay"];
const ORIGIN = "http://localhost:8080";
const [PROJECT, DSN] = settings.DSN_KEYS.split(",")[0].split(":");
const RELEASE = "2026.11.4";
const sdk = readFileSync(join(ROOT, "sdks/javascript/dist/monlight.min.js"), "utf8");

/** The shop of the end-to-end test, minified, with its map. */
async function bundle() {
  const directory = join(ROOT, "sdks/e2e/shop");
  const { outputFiles } = await build({
    entryPoints: [join(directory, "cart.ts")],
    absWorkingDir: directory,
    bundle: true,
    minify: true,
    sourcemap: "external",
    outfile: join(directory, "app.min.js"),
    write: false,
  });
  const text = (ending) => outputFiles.find((file) => file.path.endsWith(ending)).text;
  return { code: text(".js"), map: text(".js.map") };
}

const AGENTS = [
  "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
  "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
];
const PAGES = ["/", "/", "/products", "/products", "/cart", "/checkout"];
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const spread = (median, sigma) => median * Math.exp(sigma * (Math.random() + Math.random() + Math.random() - 1.5) * 1.6);

/** What has listeners. They run with nothing below them on the stack, as in a browser; `failed` gets what they throw. */
function target(failed) {
  const listeners = new Map();
  const of = (type) => listeners.get(type) ?? [];
  return {
    addEventListener: (type, listener) => void listeners.set(type, [...of(type), listener]),
    removeEventListener: (type, listener) => void listeners.set(type, of(type).filter((other) => other !== listener)),
    dispatchEvent: (event) => of(event.type).forEach((listener) => void Promise.resolve(event).then(listener).catch(failed)),
  };
}

/** The windows of the visits, by the Promise class of each: an unhandled rejection says by it whose it is. */
const windows = new WeakMap();
process.on("unhandledRejection", (reason, promise) => {
  const window = windows.get(promise.constructor);
  if (!window) throw reason;
  window.dispatchEvent(Object.assign(new Event("unhandledrejection"), { reason }));
});

/** One visit: globals of a page, the SDK, the shop, some clicks, and leaving. */
function visit(code, page, stockStatus) {
  const slow = page === "/checkout" ? 1.7 : 1;
  const started = performance.now();
  const failed = (error) => window.dispatchEvent(Object.assign(new Event("error"), { error, message: error.message }));
  const buttons = { "#pay": target(failed), "#reserve": target(failed) };
  const storage = new Map();
  const vitals = {
    "largest-contentful-paint": [{ startTime: spread(1900 * slow, 0.5) }],
    paint: [{ name: "first-contentful-paint", startTime: spread(1100 * slow, 0.4) }],
    "layout-shift": [{ startTime: 900, value: spread(0.06 * slow, 0.9), hadRecentInput: false }],
    event: [{ startTime: 2500, interactionId: 7, duration: spread(130 * slow, 0.6) }],
    "first-input": [],
  };
  class PerformanceObserver {
    static supportedEntryTypes = Object.keys(vitals);
    #deliver;
    constructor(deliver) {
      this.#deliver = deliver;
    }
    observe({ type }) {
      queueMicrotask(() => this.#deliver({ getEntries: () => vitals[type] ?? [] }, this));
    }
    takeRecords() {
      return [];
    }
    disconnect() {}
  }
  const document = { ...target(failed), hidden: false, visibilityState: "visible", readyState: "complete", baseURI: ORIGIN + page, title: "Shop", referrer: "", body: { append() {} } };
  document.querySelector = (selector) => buttons[selector] ?? null;
  const window = {
    ...target(failed),
    document,
    location: new URL(ORIGIN + page),
    navigator: { userAgent: pick(AGENTS) },
    sessionStorage: { getItem: (key) => storage.get(key) ?? null, setItem: (key, value) => void storage.set(key, value) },
    performance: {
      now: () => performance.now() - started + 5000,
      timeOrigin: Date.now() - 5000,
      interactionCount: 1,
      getEntriesByType: (type) =>
        type === "navigation" ? [{ startTime: 0, activationStart: 0, responseStart: spread(240 * slow, 0.5), loadEventEnd: spread(2300 * slow, 0.4) }] : [],
    },
    PerformanceObserver,
    async fetch(url, options) {
      if (String(url).startsWith(RELAY)) return fetch(url, { ...options, headers: { ...options?.headers, Origin: ORIGIN } });
      await pause(spread(60, 0.7));
      return Response.json({ stock: 3 }, { status: stockStatus });
    },
    requestAnimationFrame: (then) => setTimeout(then, 16),
    crypto, URL, Request, Response, Headers, Blob, Event, TextEncoder, TextDecoder, AbortController,
    setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, console,
    MonlightConfig: { dsn: DSN, endpoint: RELAY, release: RELEASE },
  };
  window.window = window.self = window;
  const context = vm.createContext(window);
  windows.set(vm.runInContext("Promise", context), window);
  vm.runInContext(sdk, context, { filename: `${ORIGIN}/monlight.min.js` });
  vm.runInContext(code, context, { filename: `${ORIGIN}/assets/app.min.js` });
  window.dispatchEvent(new Event("load"));
  return {
    click: (selector) => buttons[selector].dispatchEvent(new Event("click")),
    async leave() {
      document.hidden = true;
      document.visibilityState = "hidden";
      document.dispatchEvent(new Event("visibilitychange"));
      window.dispatchEvent(new Event("pagehide"));
      await pause(20);
      await window.Monlight.flush();
      window.Monlight.destroy();
    },
  };
}

const { code, map } = await bundle();
const uploaded = await fetch(`${RELAY}/api/source-maps`, {
  method: "POST",
  headers: { "X-API-Key": settings.ADMIN_API_KEY, "Content-Type": "application/json" },
  body: JSON.stringify({ project: PROJECT, release: RELEASE, file_url: "/assets/app.min.js", map_content: map }),
});
if (!uploaded.ok) throw new Error(`the relay did not take the source map: ${uploaded.status} ${await uploaded.text()}`);

const until = performance.now() + Number(process.argv[2] ?? 60) * 1000;
const active = new Set();
let visits = 0;
while (performance.now() < until) {
  visits += 1;
  const page = pick(PAGES);
  const guest = visit(code, page, visits % 23 === 0 ? 503 : 200);
  const stay = (async () => {
    await pause(300 + Math.random() * 600);
    const buys = page === "/cart" || page === "/checkout";
    for (const [selector, chance] of [["#pay", 0.5], ["#reserve", 0.3]]) {
      if (buys && Math.random() < chance) guest.click(selector);
    }
    await guest.leave();
  })();
  active.add(stay);
  void stay.finally(() => active.delete(stay));
  await pause(250 + Math.random() * 500);
}
await Promise.all(active);
console.log(`visitors: ${visits} visits through the JavaScript SDK`);
process.exit(0);
