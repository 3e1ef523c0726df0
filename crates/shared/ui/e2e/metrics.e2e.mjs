import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertClean, checkLooks, openPage, startBrowser, startService } from "./harness.mjs";

let service;
let browser;
const ENDPOINTS = [["POST", "/api/checkout", 0.9], ["GET", "/api/cart", 0.03], ["GET", "/api/products/{id}", 0.06]];

/** Half an hour of requests, a point every 20 seconds and endpoint, ending now. */
function traffic() {
  const points = [];
  const now = Date.now();
  for (let at = 90; at >= 0; at -= 1) {
    const timestamp = new Date(now - at * 20_000).toISOString();
    for (const [method, endpoint, seconds] of ENDPOINTS) {
      const status = at % 10 === 0 && endpoint === "/api/checkout" ? "503" : "200";
      const labels = { method, endpoint, status };
      points.push({ name: "http_requests_total", type: "counter", value: 1, labels, timestamp, project: "shop-api" });
      points.push({ name: "http_request_duration_seconds", type: "histogram", value: seconds * (1 + (at % 7) / 10), labels, timestamp, project: "shop-api" });
    }
    points.push({ name: "queue_depth", type: "gauge", value: at % 13, timestamp, project: "worker" });
    for (const [page, lcp, inp, cls] of [["/", 1900, 168, 0.02], ["/checkout", 4200, 541, 0.3]]) {
      const labels = { project: "shop-web", source: "browser", page, session_id: `s${at}` };
      for (const [name, value] of [["lcp", lcp], ["inp", inp], ["cls", cls], ["fcp", lcp / 2], ["ttfb", inp]]) points.push({ name: `web_vitals_${name}`, type: "histogram", value: value * (1 + (at % 5) / 50), labels, timestamp });
    }
  }
  return points;
}

before(async () => {
  service = await startService("metrics-collector");
  browser = await startBrowser();
  const points = traffic();
  for (let at = 0; at < points.length; at += 500) await service.api("/api/metrics", { method: "POST", body: JSON.stringify(points.slice(at, at + 500)) });
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

const charts = (page) => page.locator(".plot-host canvas");

test("the overview: three charts, endpoints by time, web vitals, pages", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?period=1h`);
  await charts(page).nth(2).waitFor();
  await page.getByRole("heading", { name: "Where the time goes" }).waitFor();
  const first = page.locator(".endpoints tbody tr").first();
  assert.match(await first.innerText(), /POST\s*\/api\/checkout/);
  assert.match(await first.locator(".c-err").innerText(), /11\s%/);
  const lcp = page.locator(".vital").first();
  assert.match(await lcp.innerText(), /LCP/);
  assert.match(await lcp.locator(".rating").innerText(), /Poor|Needs improvement/);
  assert.equal(await page.locator(".vital").count(), 5);
  assert.equal(await page.locator(".pages tbody tr").count(), 2);
  await page.getByRole("img", { name: /^http_requests_total: / }).waitFor();
  assertClean(faults);
  await close();
});

test("a crosshair says the values of all charts, by pointer and by arrow keys", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?period=1h`);
  const plot = page.locator(".plot-host").first();
  await charts(page).nth(2).waitFor();
  const said = page.locator(".legend").first().getByText(/^at \d\d:\d\d$/);
  const newest = await said.innerText();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 60);
  await page.waitForFunction(() => document.querySelectorAll(".cross-tip").length === 3);
  assert.equal(await said.innerText(), `at ${await page.locator(".cross-tip").first().innerText()}`);
  assert.notEqual(await said.innerText(), newest);
  await page.mouse.move(5, 5);
  await plot.focus();
  await page.keyboard.press("ArrowLeft");
  await page.locator(".cross-tip").first().waitFor();
  assertClean(faults);
  await close();
});

test("range, project and metric are in the URL", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(service.url);
  await charts(page).first().waitFor();
  await page.keyboard.press("t");
  await page.keyboard.press("2");
  await page.waitForFunction(() => location.search === "?period=1h");
  await page.getByRole("button", { name: "Project" }).click();
  await page.getByRole("button", { name: "worker" }).click();
  await page.waitForFunction(() => location.search === "?period=1h&project=worker");
  await page.getByRole("button", { name: /queue_depth/ }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "Web vitals" }).count(), 0);
  await page.keyboard.press("t");
  await page.getByLabel("Time range").getByRole("textbox").fill("soon");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("Not a stretch of time").waitFor();
  await page.getByLabel("Time range").getByRole("textbox").fill("90m");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.search === "?period=90m&project=worker");
  assertClean(faults);
  await close();
});

test("explore: all metrics, one of them, grouped, as a table", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?period=1h`);
  await page.getByRole("link", { name: "Explore", exact: true }).click();
  await page.getByRole("searchbox").fill("duration");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByRole("link", { name: "http_request_duration_seconds" }).click();
  await charts(page).first().waitFor();
  await page.getByRole("textbox", { name: "Labels to group by" }).fill("endpoint");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".series-table tbody tr").length === 3);
  assert.match(page.url(), /by=endpoint/);
  assert.match(await page.locator(".series-table tbody tr").first().innerText(), /\/api\/checkout/);
  await page.getByRole("button", { name: "mean" }).click();
  await page.waitForFunction(() => location.search.includes("agg=mean"));
  await page.locator("h1").click();
  await page.keyboard.press("v");
  await page.locator(".points tbody tr").first().waitFor();
  await page.getByRole("textbox", { name: "Labels to filter by" }).fill("method:PUT");
  await page.keyboard.press("Enter");
  await page.getByText("Not received with these labels in this range.").waitFor();
  assertClean(faults);
  await close();
});

test("more label sets than are kept apart: said where the metric is seen", async () => {
  const small = await startService("metrics-collector", { MAX_SERIES_PER_NAME: "2" });
  const { page, faults, close } = await openPage(browser, small);
  const orders = ["de", "fr", "it"].map((country) => ({ name: "orders_total", type: "counter", value: 1, labels: { country }, project: "shop" }));
  await small.api("/api/metrics", { method: "POST", body: JSON.stringify([...orders, { name: "carts", type: "gauge", value: 1, project: "shop" }]) });
  await page.goto(small.url);
  const said = page.getByRole("status").filter({ hasText: "more label sets than are kept apart" });
  await said.getByRole("link", { name: "orders_total" }).click();
  await said.getByText("This metric has").waitFor();
  await page.getByRole("textbox", { name: "Labels to group by" }).fill("__overflow__");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".series-table tbody tr").length === 2);
  await page.goto(`${small.url}/?view=explore&metric=carts`);
  await charts(page).first().waitFor();
  assert.equal(await said.count(), 0);
  assertClean(faults);
  await close();
  await small.stop();
});

test("nothing received yet: the lines that send something", async () => {
  const empty = await startService("metrics-collector");
  const { page, faults, close } = await openPage(browser, empty);
  await page.goto(`${empty.url}/?refresh=5s`);
  await page.getByRole("heading", { name: "Send the first metrics" }).waitFor();
  await empty.api("/api/metrics", { method: "POST", body: JSON.stringify([{ name: "orders_total", type: "counter", value: 1 }]) });
  await page.getByRole("link", { name: "orders_total" }).waitFor();
  assertClean(faults);
  await close();
  await empty.stop();
});

test("looks: overview, explore, a metric", async () => {
  await checkLooks(browser, service, "/?period=1h", "metrics", async (page) => {
    await charts(page).nth(2).waitFor();
    await page.locator(".endpoints tbody tr").first().waitFor();
  });
  await checkLooks(browser, service, "/?view=explore", "explore", (page) => page.locator("tbody tr").first().waitFor());
  await checkLooks(browser, service, "/?view=explore&metric=http_request_duration_seconds&by=endpoint&period=1h", "metric", (page) => page.locator(".series-table tbody tr").first().waitFor());
});
