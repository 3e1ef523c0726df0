import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import { type FakeEntry, Page, settle } from "./page.ts";

let page: Page;
beforeEach(() => {
  page = new Page();
});

const start = () => init(page.config({ sampleRate: 1 }));

const lcp = (startTime: number) => page.perform("largest-contentful-paint", { startTime });
const fcp = (startTime: number) => page.perform("paint", { name: "first-paint", startTime }, { name: "first-contentful-paint", startTime });
const shift = (startTime: number, value: number, hadRecentInput = false) =>
  page.perform("layout-shift", { startTime, value, hadRecentInput });
const event = (interactionId: number, duration: number, type = "event") =>
  page.perform(type, { startTime: 1, interactionId, duration });

async function hide(): Promise<void> {
  page.setHidden(true);
  await settle();
}

test("each vital is reported once, when the page is first hidden, with its last value", async () => {
  start();
  fcp(100);
  lcp(200);
  lcp(350);
  shift(400, 0.1);
  event(1, 64);
  await hide();
  const vitals = Object.fromEntries(page.metrics.map(({ name, value }) => [name, value]));
  assert.deepEqual(vitals, { web_vitals_fcp: 100, web_vitals_lcp: 350, web_vitals_cls: 0.1, web_vitals_inp: 64 });
  for (const { type, labels } of page.metrics) {
    assert.equal(type, "histogram");
    assert.deepEqual(Object.keys(labels), ["page", "session_id"]);
    assert.equal(labels.page, "/cart/7");
  }
  page.setHidden(false);
  shift(9000, 0.5);
  event(8, 640);
  await hide();
  page.emit(page.window, "pagehide");
  await settle();
  assert.equal(page.metrics.length, 4);
});

test("vitals belong to the page that was loaded, also after a change of route", async () => {
  start();
  fcp(100);
  (globalThis as any).location.pathname = "/other";
  await hide();
  assert.deepEqual(page.metrics.map(({ labels }) => labels.page), ["/cart/7", "/cart/7"]);
});

test("CLS is reported as 0 once, if the page was painted and the browser knows it", async () => {
  start();
  fcp(100);
  await hide();
  assert.deepEqual(page.values("web_vitals_cls"), [0]);

  page = new Page();
  page.supported = page.supported.filter((type) => type !== "layout-shift");
  start();
  fcp(100);
  await hide();
  assert.deepEqual(page.metrics.map(({ name }) => name), ["web_vitals_fcp"]);
});

test("CLS takes the largest session window", async () => {
  const check = async (shifts: [number, number, boolean?][], expected: number) => {
    page = new Page();
    start();
    fcp(1);
    for (const [time, value, recent] of shifts) shift(time, value, recent);
    await hide();
    assert.ok(Math.abs(page.values("web_vitals_cls")[0]! - expected) < 1e-9, `${page.values("web_vitals_cls")} for ${JSON.stringify(shifts)}`);
  };
  await check([[0, 0.1], [999, 0.1]], 0.2);
  await check([[0, 0.1], [1000, 0.1]], 0.1);
  await check([[0, 0.1], [500, 9, true], [900, 0.1]], 0.2);
  await check([[0, 0.3], [2000, 0.2], [2500, 0.2]], 0.4);
  await check([0, 900, 1800, 2700, 3600, 4500, 5400].map((time) => [time, 0.1]), 0.6);
  await check([[0, 0.5], [3000, 0.1]], 0.5);
});

test("INP groups events by interaction and leaves out one outlier of every fifty", async () => {
  const check = async (events: [number, number][], count: number | undefined, expected: number[]) => {
    page = new Page();
    if (count !== undefined) (globalThis as any).performance.interactionCount = count;
    start();
    for (const [id, duration] of events) event(id, duration);
    await hide();
    assert.deepEqual(page.values("web_vitals_inp"), expected);
  };
  await check([[7, 40], [7, 104], [7, 48], [14, 80]], 2, [104]);
  await check([[0, 900], [7, 48]], 1, [48]);
  await check([], 0, []);
  await check([], 5, []);
  const fifty = Array.from({ length: 50 }, (_, i): [number, number] => [(i + 1) * 7, 400 - i]);
  await check(fifty, 49, [400]);
  await check(fifty, 50, [399]);
  await check(fifty, 100, [398]);
  await check(fifty, 5000, [391]);
  await check(fifty, undefined, [399]);
});

test("INP counts the first input however quick it was", async () => {
  start();
  event(7, 8, "first-input");
  await hide();
  assert.deepEqual(page.values("web_vitals_inp"), [8]);
});

test("LCP ends with the first trusted input", async () => {
  start();
  lcp(200);
  page.emit(page.window, "click", { isTrusted: false });
  await page.tick(1);
  lcp(300);
  page.emit(page.window, "keydown", { isTrusted: true });
  await page.tick(1);
  lcp(400);
  await page.tick(5000);
  assert.deepEqual(page.values("web_vitals_lcp"), [300]);
  await hide();
  assert.deepEqual(page.values("web_vitals_lcp"), [300]);
});

test("entries the observers have not delivered yet are taken on hiding", async () => {
  start();
  const queue = (type: string, ...entries: FakeEntry[]) =>
    page.observers.find((observer) => observer.type === type)!.queue.push(...entries);
  queue("paint", { name: "first-contentful-paint", startTime: 90 });
  queue("largest-contentful-paint", { startTime: 120 });
  queue("layout-shift", { startTime: 130, value: 0.2, hadRecentInput: false });
  queue("event", { startTime: 140, interactionId: 7, duration: 72 });
  await hide();
  assert.deepEqual(
    page.metrics.map(({ name, value }) => [name, value]),
    [["web_vitals_fcp", 90], ["web_vitals_lcp", 120], ["web_vitals_cls", 0.2], ["web_vitals_inp", 72]],
  );
});

test("a page opened in the background has no paint timings and no CLS", async () => {
  page.document.hidden = true;
  start();
  page.setHidden(false);
  fcp(5000);
  lcp(5100);
  await hide();
  assert.deepEqual(page.metrics, []);
});

test("a page that was hidden before the SDK started is known to have been", async () => {
  page.timeline.push({ entryType: "visibility-state", name: "visible", startTime: 0 });
  page.timeline.push({ entryType: "visibility-state", name: "hidden", startTime: 150 });
  page.timeline.push({ entryType: "visibility-state", name: "visible", startTime: 180 });
  start();
  fcp(100);
  lcp(120);
  lcp(200);
  await hide();
  assert.deepEqual(page.values("web_vitals_fcp"), [100]);
  assert.deepEqual(page.values("web_vitals_lcp"), [120]);
});

test("a prerendered page is measured from its activation", async () => {
  page.document.prerendering = true;
  page.document.hidden = true;
  start();
  assert.equal(page.observers.length, 0);
  page.timeline.push({ entryType: "navigation", startTime: 0, responseStart: 50, loadEventEnd: 700, activationStart: 600 } as FakeEntry);
  page.document.prerendering = page.document.hidden = false;
  page.emit(page.document, "prerenderingchange");
  fcp(300);
  lcp(650);
  await page.tick(0);
  await hide();
  assert.deepEqual(
    page.metrics.map(({ name, value }) => [name, value]),
    [["web_vitals_fcp", 0], ["web_vitals_ttfb", 0], ["page_load_time", 100], ["web_vitals_lcp", 50], ["web_vitals_cls", 0]],
  );
});

test("navigation timings: after load, or the first byte alone when the page is left before", async () => {
  page.document.readyState = "loading";
  const navigation: any = { entryType: "navigation", startTime: 0, responseStart: 12.5, loadEventEnd: 0 };
  page.timeline.push(navigation);
  start();
  await hide();
  assert.deepEqual(page.metrics.map(({ name, value }) => [name, value]), [["web_vitals_ttfb", 12.5]]);
  page.setHidden(false);
  page.emit(page.window, "load");
  navigation.loadEventEnd = 480;
  await page.tick(0);
  await hide();
  assert.deepEqual(page.values("page_load_time"), [480]);
  assert.deepEqual(page.values("web_vitals_ttfb"), [12.5]);
});

test("a restore from the back/forward cache is a new page view", async () => {
  page.timeline.push({ entryType: "navigation", startTime: 0, responseStart: 10, loadEventEnd: 20 } as FakeEntry);
  (globalThis as any).performance.interactionCount = 2;
  start();
  fcp(100);
  lcp(200);
  shift(300, 0.3);
  event(7, 88);
  await hide();
  page.emit(page.window, "pagehide");
  await settle();
  const before = page.metrics.length;
  page.time = 60_000;
  page.document.hidden = false;
  (globalThis as any).location.pathname = "/cart/8";
  page.emit(page.window, "pageshow", { persisted: true, timeStamp: 60_000 });
  await page.tick(16);
  await page.tick(16);
  shift(60_100, 0.05);
  (globalThis as any).performance.interactionCount = 3;
  page.time = 61_000;
  await hide();
  assert.deepEqual(
    page.metrics.slice(before).map(({ name, value, labels }) => [name, value, labels.page]),
    [
      ["web_vitals_fcp", 32, "/cart/8"],
      ["web_vitals_lcp", 32, "/cart/8"],
      ["web_vitals_cls", 0.05, "/cart/8"],
      ["web_vitals_inp", 8, "/cart/8"],
    ],
  );
});

test("sampleRate decides once, for vitals only", async () => {
  init(page.config({ sampleRate: 0 }));
  fcp(1);
  await page.window.fetch("https://api.example/");
  await hide();
  assert.deepEqual(page.values("web_vitals_fcp"), []);
  assert.equal(page.values("browser_http_requests_total").length, 1);
});

test("destroy disconnects the observers", async () => {
  const client = start();
  assert.ok(page.observers.length >= 5);
  client.destroy();
  assert.equal(page.observers.length, 0);
  page.emit(page.window, "pageshow", { persisted: true });
  await page.tick(100);
  await hide();
  assert.deepEqual(page.metrics, []);
});

test("a browser without PerformanceObserver has everything else", async () => {
  delete (globalThis as any).PerformanceObserver;
  const client = start();
  client.captureMessage("still here");
  await client.flush();
  await hide();
  assert.equal(page.errors.length, 1);
});
