import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import type { MonlightClient } from "../../src/types.ts";
import { Page, settle } from "./page.ts";

let page: Page;
let client: MonlightClient;
beforeEach(() => {
  page = new Page();
  client = init(page.config());
});

/** Labels of the counted requests, without session and page. */
async function counted(): Promise<object[]> {
  await client.flush();
  return page.metrics
    .filter(({ name }) => name === "browser_http_requests_total")
    .map(({ labels: { method, status, host } }) => ({ method, status, host }));
}

const get = (status: string, host = "api.example") => ({ method: "GET", status, host });

test("a fetch makes a counter and a histogram with the documented labels", async () => {
  page.app = () => {
    page.time += 120;
    return new Response("", { status: 404 });
  };
  const response = await page.window.fetch("https://api.example:8443/x?q=1");
  assert.equal(response.status, 404);
  await page.tick(5000);
  const [count, duration] = page.metrics;
  assert.deepEqual(Object.keys(count), ["name", "type", "value", "labels", "timestamp"]);
  assert.deepEqual(Object.keys(count.labels), ["method", "status", "host", "session_id", "page"]);
  assert.deepEqual([count.name, count.type, count.value], ["browser_http_requests_total", "counter", 1]);
  assert.deepEqual([duration.name, duration.type, duration.value], ["browser_http_request_duration_ms", "histogram", 120]);
  assert.deepEqual([count.labels.host, count.labels.status, count.labels.page], ["api.example:8443", "404", "/cart/7"]);
  assert.equal(page.errors.length, 0, "4xx are only counted");
});

test("method and host of every form of request", async () => {
  await page.window.fetch("/rel?token=s", { method: "post" });
  await page.window.fetch(new URL("https://api.example/a"));
  await page.window.fetch(new Request("https://api.example/b", { method: "PUT" }));
  await page.window.fetch(new Request("https://api.example/b", { method: "PUT" }), { method: "DELETE" });
  await page.window.fetch("data:text/plain,hi");
  assert.deepEqual(await counted(), [
    { method: "POST", status: "200", host: "shop.example" },
    { method: "GET", status: "200", host: "api.example" },
    { method: "PUT", status: "200", host: "api.example" },
    { method: "DELETE", status: "200", host: "api.example" },
  ]);
});

test("answers of 500 and failures are errors, with the place of the call and no query", async () => {
  page.app = () => new Response("", { status: 503 });
  await page.window.fetch("/orders/12/items/6f9619ff-8b86-d011-b42d-00c04fc964ff/2fa?token=s#f");
  page.app = () => Promise.reject(new TypeError("Failed to fetch"));
  await assert.rejects(page.window.fetch("https://api.example/x?key=s", { method: "put" }), TypeError);
  await settle();
  const [server, network] = page.errors;
  assert.equal(server.type, "Error");
  assert.equal(server.message, "GET https://shop.example/orders/{id}/items/{id}/2fa failed with status 503");
  assert.deepEqual(server.context, { type: "NetworkError" });
  assert.match(server.stack.split("\n")[0], /^\s+at .*network\.test/);
  assert.equal(network.message, "PUT https://api.example/x network error: Failed to fetch");
  assert.deepEqual((await counted()).map((labels: any) => labels.status), ["503", "0"]);
});

test("cancelled requests are counted and are no errors; a time-out is one", async () => {
  const cancel = new AbortController();
  cancel.abort();
  await assert.rejects(page.window.fetch("https://api.example/", { signal: cancel.signal }));
  const reason = new AbortController();
  reason.abort(new Error("user left"));
  await assert.rejects(page.window.fetch("https://api.example/", { signal: reason.signal }), /user left/);
  await settle();
  assert.equal(page.errors.length, 0);
  const timeout = new AbortController();
  timeout.abort(new DOMException("took too long", "TimeoutError"));
  await assert.rejects(page.window.fetch("https://api.example/", { signal: timeout.signal }));
  await settle();
  assert.equal(page.errors[0].message, "GET https://api.example/ network error: took too long");
  assert.deepEqual(await counted(), [get("0"), get("0"), get("0")]);
});

test("an unhandled failure stays unhandled, a handled one handled", async () => {
  page.app = () => Promise.reject(new TypeError("Failed to fetch"));
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", note);
  void page.window.fetch("https://api.example/a");
  page.window.fetch("https://api.example/b").catch(() => {});
  await settle();
  process.off("unhandledRejection", note);
  for (const other of others) process.on("unhandledRejection", other);
  assert.equal(unhandled.length, 1);
});

test("only the API of the relay is excluded, not what looks like it", async () => {
  client.destroy();
  client = init(page.config({ endpoint: "HTTPS://Relay.Example:443/base/" }));
  await page.window.fetch("https://relay.example/other");
  await page.window.fetch("https://relay.example.evil.com/base/api/other");
  await page.window.fetch("https://relay.example/base/api/browser/metrics", { method: "POST", body: '{"metrics":[]}' });
  assert.deepEqual(await counted(), [get("200", "relay.example"), get("200", "relay.example.evil.com")]);
});

test("a relative endpoint excludes itself too", async () => {
  client.destroy();
  client = init(page.config({ endpoint: "/monitoring" }));
  await page.window.fetch("/orders");
  client.captureMessage("x");
  assert.deepEqual(await counted(), [get("200", "shop.example")]);
  assert.equal(page.relay[0]!.url, "https://shop.example/monitoring/api/browser/errors");
});

test("XHR: each use counted once, aborts are no errors, 5xx and failures are", async () => {
  const xhr = new page.Xhr() as any;
  const run = (method: string, url: string, status: number, event?: string) => {
    xhr.open(method, url);
    xhr.send();
    page.time += 30;
    xhr.finish(status, event);
  };
  run("get", "/a?token=s", 200);
  run("post", "https://api.example/orders/9", 502);
  run("GET", "https://api.example/gone", 0, "error");
  run("GET", "https://api.example/gone", 0, "abort");
  xhr.open("GET", "https://api.example/replaced");
  xhr.send();
  run("GET", "https://api.example/last", 204);
  await settle();
  assert.deepEqual(page.errors.map(({ message }) => message), [
    "POST https://api.example/orders/{id} failed with status 502",
    "GET https://api.example/gone network error",
  ]);
  assert.match(page.errors[0].stack.split("\n")[0], /network\.test/);
  assert.deepEqual(await counted(), [
    { method: "GET", status: "200", host: "shop.example" },
    { method: "POST", status: "502", host: "api.example" },
    get("0"),
    get("0"),
    get("204"),
  ]);
  assert.deepEqual(page.values("browser_http_request_duration_ms"), [30, 30, 30, 30, 30]);
});

test("two clients of one project count once and share the installation until the last is gone", async () => {
  const { open, send } = page.Xhr.prototype;
  const second = init(page.config({ endpoint: "https://relay.example/" }));
  await page.window.fetch("https://api.example/1");
  client.destroy();
  client.destroy();
  client.captureMessage("from a destroyed client");
  await page.window.fetch("https://api.example/2");
  second.captureMessage("still here");
  await second.flush();
  assert.equal(page.values("browser_http_requests_total").length, 2);
  assert.deepEqual(page.errors.map(({ message }) => message), ["still here"]);
  second.destroy();
  assert.equal(page.window.fetch, page.nativeFetch);
  assert.notEqual(page.Xhr.prototype.open, open);
  assert.notEqual(page.Xhr.prototype.send, send);
  const again = init(page.config());
  assert.notEqual(page.window.fetch, page.nativeFetch);
  again.destroy();
  assert.equal(page.window.fetch, page.nativeFetch);
});

test("two projects on one page do not count each other's requests", async () => {
  const other = init(page.config({ dsn: "k2", endpoint: "https://other.example" }));
  await page.window.fetch("https://api.example/");
  await client.flush();
  await other.flush();
  await client.flush();
  assert.equal(page.values("browser_http_requests_total").length, 2);
  client.destroy();
  other.destroy();
  assert.equal(page.window.fetch, page.nativeFetch);
});
