// The built bundles in a real Chromium, against a relay that records what arrives.
import assert from "node:assert/strict";
import { build } from "esbuild";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { KEY, Relay, Site } from "./servers.ts";

/** A new one for each test: what a page of the test before sends on its way out reaches nobody. */
let relay: Relay;
const site = new Site();
let browser: Browser;
let context: BrowserContext;
/** Errors the pages show on their own console, to see that the SDK causes none. */
let consoleErrors: string[];

before(async () => {
  await site.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
    ],
    // Playwright switches the back/forward cache off by default.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
});
after(async () => {
  await browser?.close();
  site.stop();
});
beforeEach(async () => {
  relay = new Relay();
  await relay.start();
  site.pages.clear();
  site.notes = [];
  consoleErrors = [];
  context = await browser.newContext();
});
afterEach(async () => {
  await context.close();
  relay.stop();
});

/** HTML of a page that starts the SDK by itself, with an image-free body that paints and shifts nothing. */
function html(body: string, options: object = {}, head = ""): string {
  const config = { dsn: KEY, endpoint: relay.url, ...options };
  return `<!doctype html><title>t</title>${head}<script>window.MonlightConfig = ${JSON.stringify(config)}</script>
<script src="/dist/monlight.min.js"></script><body><h1>Shop</h1><button id="b" style="width:200px;height:60px">Buy</button>${body}`;
}

async function open(path: string, body?: string, headers?: Record<string, string>): Promise<Page> {
  if (body !== undefined) site.pages.set(path.split(/[?#]/)[0]!, { body, headers });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") consoleErrors.push(message.text());
  });
  await page.goto(site.url + path, { waitUntil: "load" });
  return page;
}

/** Waits for the first paint: a page left before has no vitals of its layout. */
async function painted(page: Page): Promise<void> {
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
}

const byMessage = (part: string) => relay.errors.find(({ message }) => message.includes(part));

test("errors of every source arrive, with the page's own frame on top", async () => {
  const page = await open(
    "/shop/42?token=secret&x=1#part",
    html(
      `<script>
function inThePage() { throw new TypeError("uncaught one"); }
function rejectInThePage() { Promise.reject(new RangeError("rejected one", { cause: new Error("the cause") })); }
function logInThePage() { console.error("logged", { a: 1 }); }
function fetchInThePage() { return fetch("/status/503/orders/17?token=secret"); }
function failInThePage() { fetch("/reset"); }
function xhrInThePage() { const x = new XMLHttpRequest(); x.open("post", "/status/500"); x.send(); }
setTimeout(inThePage); setTimeout(rejectInThePage); setTimeout(logInThePage);
setTimeout(fetchInThePage); setTimeout(failInThePage); setTimeout(xhrInThePage);
setTimeout(() => { throw "a text"; }); setTimeout(() => Promise.reject({ code: 7 }));
setTimeout(() => Monlight.captureMessage("hello", "warning"));
</script>`,
      { captureConsole: true, release: "r1" },
    ),
  );
  await relay.until("ten errors", () => relay.errors.length >= 10);
  const check = (part: string, type: string, frame: RegExp) => {
    const error = byMessage(part);
    assert.ok(error, `${part} in ${JSON.stringify(relay.errors)}`);
    assert.equal(error.type, type, part);
    assert.match(error.stack.split("\n").find((line: string) => /^\s+at /.test(line)) ?? error.stack, frame);
    assert.doesNotMatch(error.stack, /monlight/, part);
    assert.equal(error.url, `${site.url}/shop/42?token=[redacted]&x=1#part`);
    return error;
  };
  assert.equal(check("uncaught one", "TypeError", /inThePage/).release, "r1");
  assert.match(check("rejected one", "RangeError", /rejectInThePage/).stack, /\nCaused by: Error: the cause\n/);
  check('logged {"a":1}', "ConsoleError", /logInThePage/);
  const server = check("failed with status 503", "Error", /fetchInThePage/);
  assert.equal(server.message, `GET ${site.url}/status/{id}/orders/{id} failed with status 503`);
  assert.deepEqual(server.context, { type: "NetworkError" });
  check("/reset network error", "Error", /failInThePage/);
  check("POST " + site.url + "/status/{id} failed with status 500", "Error", /xhrInThePage/);
  check("Uncaught a text", "Error", /shop\/42/);
  check('{"code":7}', "UnhandledRejection", /UnhandledRejection: \{"code":7\}/);
  check("hello", "ConsoleWarning", /shop\/42/);
  // The failed fetch was not handled either: that error has passed through our wrapper.
  const passed = relay.errors.find(({ type, message }) => type === "TypeError" && message === "Failed to fetch");
  assert.match(passed.stack, /failInThePage/);
  assert.doesNotMatch(passed.stack, /monlight/);
  assert.ok(relay.preflights > 0, "the relay is another origin");
  await page.close();
});

test("requests are measured, cancelled ones are no errors", async () => {
  const page = await open("/app", html("", { sampleRate: 0 }));
  await page.evaluate(async (url) => {
    const cancel = new AbortController();
    const pending = fetch("/never", { signal: cancel.signal }).catch(() => {});
    cancel.abort();
    await pending;
    const xhr = new XMLHttpRequest();
    xhr.open("GET", "/never");
    xhr.send();
    xhr.abort();
    await fetch(new Request("/status/204", { method: "PUT" }));
    await fetch(url + "/status/404?q=1", { method: "post" }).then((response) => response.text());
    await (window as any).Monlight.flush();
  }, site.url);
  const requests = relay.metrics.filter(({ name }) => name === "browser_http_requests_total");
  const host = new URL(site.url).host;
  assert.deepEqual(
    requests.map(({ labels: { method, status, host } }) => [method, status, host]),
    [["GET", "0", host], ["GET", "0", host], ["PUT", "204", host], ["POST", "404", host]],
  );
  assert.ok(relay.values("browser_http_request_duration_ms").every((value) => value >= 0));
  assert.deepEqual(relay.errors, []);
});

const VITALS = ["web_vitals_ttfb", "web_vitals_fcp", "web_vitals_lcp", "web_vitals_cls", "web_vitals_inp", "page_load_time"];

/** Shifts the layout without input, then handles a click slowly. */
const BUSY = `<p id="late">text</p><script>
addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
  document.querySelector("h1").style.marginTop = "120px";
  requestAnimationFrame(() => requestAnimationFrame(() => document.body.dataset.shifted = 1));
})));
document.getElementById("b").onclick = () => {
  const end = performance.now() + 120;
  while (performance.now() < end);
  requestAnimationFrame(() => requestAnimationFrame(() => document.body.dataset.clicked = 1));
};
</script>`;

/** Uses a page with BUSY in it as a person would. */
async function use(page: Page): Promise<void> {
  await painted(page);
  await page.waitForSelector("body[data-shifted]");
  // Shifts within 500 ms of an input do not count, so the page must have recorded this one before.
  await recorded(page, "layout-shift");
  await page.click("#b");
  await page.waitForSelector("body[data-clicked]");
  await recorded(page, "event");
}

/** Waits until the browser has an entry of the type on its timeline, which it has some time after the fact. */
async function recorded(page: Page, type: "layout-shift" | "event"): Promise<void> {
  await page.evaluate(
    (type) =>
      new Promise<void>((resolve) =>
        new PerformanceObserver((list, observer) => {
          if (!list.getEntries().some((entry) => type !== "event" || entry.name === "click")) return;
          observer.disconnect();
          resolve();
        }).observe({ type, buffered: true }),
      ),
    type,
  );
}

const allVitals = () => VITALS.every((name) => relay.values(name).length > 0);

function assertOnce(path: string): void {
  for (const name of VITALS) assert.equal(relay.values(name).length, 1, name);
  assert.ok(relay.values("web_vitals_inp")[0]! >= 104, "the slow click");
  assert.ok(relay.values("web_vitals_cls")[0]! > 0);
  for (const { labels, name } of relay.metrics) if (VITALS.includes(name)) assert.equal(labels.page, path);
}

test("vitals arrive once each when the page is closed", async () => {
  const page = await open("/closed", html(BUSY));
  await use(page);
  await page.close({ runBeforeUnload: true });
  await relay.until("all vitals", allVitals);
  assertOnce("/closed");
});

// A browser that is asked to close a page may drop a request whose preflight has no answer yet.
test("what a page sends at its end does not wait for a preflight", async () => {
  relay.permits = false;
  const lastWords = `<script>addEventListener("pagehide", () => Monlight.captureMessage("last words"))</script>`;
  const page = await open("/unasked", html(BUSY + lastWords));
  await use(page);
  await page.evaluate(() => (window as any).Monlight.captureMessage("still asking"));
  await relay.until("the question", () => relay.preflights > 0);
  await page.close({ runBeforeUnload: true });
  await relay.until("a vital of the end", () => relay.values("web_vitals_cls").length === 1);
  await relay.until("the errors", () => !!byMessage("still asking") && !!byMessage("last words"));
  for (const { keyIn, contentType } of relay.arrivals) {
    assert.deepEqual({ keyIn, contentType }, { keyIn: "query", contentType: "text/plain;charset=UTF-8" });
  }
});

test("vitals arrive once each when the page is left by navigation", async () => {
  const page = await open("/left", html(BUSY));
  await use(page);
  site.pages.set("/next", { body: "<!doctype html>next" });
  await page.goto(site.url + "/next");
  await relay.until("all vitals", allVitals);
  assertOnce("/left");
});

test("an error in the last moment of a page arrives", async () => {
  const page = await open("/last", html(`<script>addEventListener("pagehide", () => Monlight.captureMessage("last words"))</script>`));
  await page.close({ runBeforeUnload: true });
  await relay.until("the message", () => !!byMessage("last words"));
});

test("vitals agree with the web-vitals library on the same page", async () => {
  const oracle = `<script src="/web-vitals.js"></script><script>
for (const name of ["TTFB", "FCP", "LCP", "CLS", "INP"]) {
  webVitals["on" + name]((metric) => navigator.sendBeacon("/note", JSON.stringify([name, metric.value])));
}
</script>`;
  const page = await open("/oracle", html(BUSY, {}, oracle));
  await use(page);
  await page.click("h1");
  await page.keyboard.press("a");
  await page.close({ runBeforeUnload: true });
  await relay.until("all vitals", allVitals);
  await site.until("all values of the oracle", () => new Set(site.notes.map(([name]) => name)).size === 5);
  const expected = Object.fromEntries(site.notes);
  for (const [name, tolerance] of [["TTFB", 1], ["FCP", 1], ["LCP", 1], ["CLS", 0.001], ["INP", 8]] as const) {
    const [ours, theirs] = [relay.values(`web_vitals_${name.toLowerCase()}`), expected[name]];
    assert.equal(ours.length, 1, name);
    assert.ok(Math.abs(ours[0]! - theirs) <= tolerance, `${name}: ${ours[0]} and ${theirs}`);
  }
});

test("a page from the back/forward cache is a new page view", async () => {
  const page = await open(
    "/cached",
    html(`<script>addEventListener("pageshow", (e) => navigator.sendBeacon("/note", e.persisted))</script>`),
  );
  await painted(page);
  site.pages.set("/elsewhere", { body: "<!doctype html>elsewhere" });
  await page.goto(site.url + "/elsewhere");
  await relay.until("vitals of the first view", () => relay.values("web_vitals_cls").length === 1);
  // Not `goBack`, which would wait for a load event that a restored page does not have.
  await page.evaluate(() => history.back());
  await site.until("the page again", () => site.notes.length === 2);
  assert.deepEqual(site.notes, [false, true], "Chromium has kept the page");
  await relay.until("paint of the second view", () => relay.values("web_vitals_lcp").length === 2);
  assert.equal(relay.values("web_vitals_fcp").length, 2);
  assert.ok(relay.values("web_vitals_fcp")[1]! < 2000, "counted from the restore");
  await page.close({ runBeforeUnload: true });
  await relay.until("CLS of the second view", () => relay.values("web_vitals_cls").length === 2);
  assert.equal(relay.values("web_vitals_ttfb").length, 1);
});

test("without keepalive the beacon delivers, key in the URL", async () => {
  const page = await open("/beacon", html(BUSY, {}, "<script>delete Request.prototype.keepalive</script>"));
  await use(page);
  await page.close({ runBeforeUnload: true });
  await relay.until("all vitals", allVitals);
  assertOnce("/beacon");
  const beacon = relay.arrivals.find(({ keyIn }) => keyIn === "query")!;
  assert.equal(beacon.path, "/api/browser/metrics");
  assert.equal(beacon.contentType, "text/plain;charset=UTF-8");
});

test("in a page without storage everything works, with one session for the page", async () => {
  const page = await open("/sandboxed", html("", { captureConsole: true }), {
    "content-security-policy": "sandbox allow-scripts",
  });
  assert.equal(
    await page.evaluate(() => {
      try {
        return typeof sessionStorage;
      } catch (error) {
        return (error as Error).name;
      }
    }),
    "SecurityError",
  );
  await page.evaluate(async (url) => {
    await fetch(url + "/status/500", { mode: "no-cors" });
    (window as any).Monlight.captureError(new Error("one"));
    (window as any).Monlight.captureError(new Error("two"));
    await (window as any).Monlight.flush();
  }, site.url);
  // Each error is a request of its own, so they may overtake each other.
  assert.deepEqual(relay.errors.map(({ message }) => message).sort(), ["one", "two"]);
  assert.equal(new Set([...relay.errors, ...relay.metrics.map(({ labels }) => labels)].map((item) => item.session_id)).size, 1);
});

test("under a strict policy the SDK works and breaks no rule", async () => {
  site.pages.set("/config.js", {
    body: `window.MonlightConfig = ${JSON.stringify({ dsn: KEY, endpoint: relay.url })};
window.violations = []; addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective));`,
  });
  site.pages.set("/app.js", { body: `setTimeout(() => { throw new Error("strict"); });` });
  const page = await open(
    "/strict",
    `<!doctype html><script src="/config.js"></script><script src="/dist/monlight.min.js"></script><script src="/app.js"></script><h1>Strict</h1>`,
    {
      "content-security-policy": `default-src 'none'; script-src 'self'; connect-src ${relay.url}; require-trusted-types-for 'script'`,
    },
  );
  await relay.until("the error", () => !!byMessage("strict"));
  await painted(page);
  assert.deepEqual(await page.evaluate(() => (window as any).violations), []);
  await page.close({ runBeforeUnload: true });
  await relay.until("CLS", () => relay.values("web_vitals_cls").length === 1);
});

test("the ES module starts by itself and gives the same client again", async () => {
  const config = JSON.stringify({ dsn: KEY, endpoint: relay.url });
  const page = await open(
    "/module",
    `<!doctype html><h1>M</h1><script>window.MonlightConfig = ${config}; window.nativeFetch = fetch; window.nativeOpen = XMLHttpRequest.prototype.open;</script>
<script src="/dist/monlight.min.js"></script>
<script type="module">import { init } from "/dist/monlight.esm.js"; window.again = init(${config}); window.ready = true;</script>`,
  );
  await page.waitForFunction(() => (window as any).ready);
  const restored = await page.evaluate(async () => {
    const { Monlight, again, nativeFetch, nativeOpen } = window as any;
    await fetch("/status/200");
    await again.flush();
    const patched = window.fetch !== nativeFetch;
    Monlight.destroy();
    // window.Monlight of the module's own automatic start is the one destroyed; two are left.
    (window as any).again.captureMessage("after one destroy");
    await again.flush();
    again.destroy();
    return { patched, fetch: window.fetch === nativeFetch, open: XMLHttpRequest.prototype.open === nativeOpen };
  });
  assert.equal(relay.values("browser_http_requests_total").length, 1, "counted once by three clients");
  assert.ok(byMessage("after one destroy"));
  // The client of the script tag was overwritten by the module's and still holds the installation.
  assert.deepEqual(restored, { patched: true, fetch: false, open: false });
});

test("in an application's own minified bundle the SDK's frames are told apart too", async () => {
  const { outputFiles } = await build({
    stdin: {
      resolveDir: process.cwd(),
      contents: `import { init } from "@monlight/browser";
const client = init({ dsn: "${KEY}", endpoint: "${relay.url}", captureConsole: true });
const app = {
  logging() { console.error("from the bundle"); },
  fetching() { fetch("/status/500"); },
  failing() { fetch("/reset"); },
  capturing() { client.captureError("a text"); },
};
for (const name in app) setTimeout(() => app[name]());`,
    },
    bundle: true,
    minify: true,
    write: false,
  });
  site.pages.set("/bundle.js", { body: outputFiles[0]!.text });
  await open("/bundled", `<!doctype html><script src="/bundle.js"></script>`);
  await relay.until("five errors", () => relay.errors.length === 5);
  for (const [message, name] of [
    ["from the bundle", "logging"],
    ["status 500", "fetching"],
    ["network error", "failing"],
    ["Failed to fetch", "failing"],
    ["a text", "capturing"],
  ] as const) {
    const frame = byMessage(message).stack.split("\n").find((line: string) => /^\s+at /.test(line));
    assert.match(frame, new RegExp(`^\\s+at Object\\.${name} .*bundle\\.js:`), message);
  }
});

test("destroying restores the page's own functions", async () => {
  const page = await open(
    "/restore",
    html("", { captureConsole: true }, "<script>window.own = [fetch, XMLHttpRequest.prototype.open, XMLHttpRequest.prototype.send, console.error, console.warn]</script>"),
  );
  const same = () =>
    page.evaluate(() =>
      [fetch, XMLHttpRequest.prototype.open, XMLHttpRequest.prototype.send, console.error, console.warn].map(
        (fn, i) => fn === (window as any).own[i],
      ),
    );
  assert.deepEqual(await same(), Array(5).fill(false));
  await page.evaluate(() => (window as any).Monlight.destroy());
  assert.deepEqual(await same(), Array(5).fill(true));
});

test("what the relay cannot take at once arrives later", async () => {
  const page = await open("/later", html("", { sampleRate: 0 }));
  relay.answers = [[503, { "retry-after": "1" }], [502, {}]];
  await page.evaluate(() => (window as any).Monlight.captureError(new Error("patient")));
  await relay.until("the error", () => !!byMessage("patient"), 20_000);
  assert.deepEqual(relay.refused, ["/api/browser/errors 503", "/api/browser/errors 502"]);
  assert.equal(relay.errors.length, 1);
});

test("the session survives navigation, and a strange value in storage does no harm", async () => {
  await context.addInitScript(() => {
    if (!sessionStorage.getItem("monlight_session_id")) sessionStorage.setItem("monlight_session_id", "<b>junk</b> ".repeat(20));
  });
  const page = await open("/one", html(`<script>Monlight.captureMessage("first page")</script>`));
  site.pages.set("/two", { body: html(`<script>Monlight.captureMessage("second page")</script>`) });
  await page.goto(site.url + "/two");
  await relay.until("both", () => !!byMessage("first page") && !!byMessage("second page"));
  assert.match(byMessage("first page").session_id, /^[\da-f-]{36}$/);
  assert.equal(byMessage("first page").session_id, byMessage("second page").session_id);
  assert.deepEqual(consoleErrors, []);
});
