// A real exception, a real browser error, a real log line and a real metric travel the whole way; the stack ends, is
// killed and starts again without losing what it acknowledged.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

import { openPages } from "./pages.mjs";
import { bundle, serveShop } from "./shop/server.mjs";
import { CHROMIUM, CHROMIUM_ARGS, DSN, KEY, PROJECT, ROOT, Stack, eventually } from "./stack.mjs";

/** The 1-based line of the shop's source that holds `text`. */
function sourceLine(text) {
  const lines = readFileSync(join(ROOT, "sdks/e2e/shop/cart.ts"), "utf8").split("\n");
  return lines.findIndex((line) => line.includes(text)) + 1;
}

describe("the whole path", () => {
  const stack = new Stack();
  let browser;
  /** Writes a line into the log of the container shop-worker. */
  let write;

  before(async () => {
    await stack.start();
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
  });
  after(async () => {
    await browser?.close();
    await stack.remove();
  });

  test("an exception and request metrics of a FastAPI app arrive", async () => {
    const python = join(ROOT, "sdks/python/.venv/bin/python");
    const app = spawn(python, [join(ROOT, "sdks/e2e/app.py"), stack.url("error-tracker"), stack.url("metrics-collector"), KEY], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    app.stderr.on("data", (text) => (said += text));
    try {
      const port = await new Promise((found, failed) => {
        createInterface({ input: app.stdout }).on("line", (line) => {
          const match = /listening on 127\.0\.0\.1:(\d+)/.exec(line);
          if (match) found(match[1]);
        });
        app.on("exit", (code) => failed(new Error(`the app ended (${code}): ${said}`)));
      });
      for (let n = 1; n <= 5; n += 1) {
        assert.equal((await fetch(`http://127.0.0.1:${port}/items/${n}`)).status, 200);
      }
      const paid = await fetch(`http://127.0.0.1:${port}/orders/7/pay?token=secret`, { method: "POST" });
      assert.equal(paid.status, 500);
      assert.deepEqual(await paid.json(), { detail: "Internal server error" });

      const group = await eventually("the exception in the list", async () => {
        const list = await stack.get("error-tracker", "/api/errors?project=shop-api");
        return list.errors.find((error) => error.exception_type === "PermissionError");
      });
      assert.equal(group.message, "card of order 7 was declined");
      assert.equal(group.source, "server");
      const detail = await stack.get("error-tracker", `/api/errors/${group.id}`);
      assert.match(detail.traceback, /in charge\n\s+raise PermissionError/);
      assert.equal(detail.occurrences[0].request_method, "POST");
      assert.ok(!JSON.stringify(detail.occurrences).includes("token=secret"), "a secret of the query string was stored");

      await eventually("the request metrics", async () => {
        const names = (await stack.get("metrics-collector", "/api/metrics/names?project=shop-api")).metrics.map((metric) => metric.name);
        return names.includes("http_requests_total") && names.includes("http_request_duration_seconds");
      });
      const counted = await eventually("all six requests counted", async () => {
        const series = await stack.get("metrics-collector", "/api/metrics?name=http_requests_total&period=1h&project=shop-api");
        const sum = series.data.reduce((total, row) => total + row.sum, 0);
        return sum === 6 && series;
      });
      assert.equal(counted.name, "http_requests_total");
    } finally {
      app.kill("SIGTERM");
      if (app.exitCode === null && app.signalCode === null) await once(app, "exit");
    }
  });

  test("errors and web vitals of a minified page arrive with original names and places", async () => {
    const { code, map } = await bundle();
    const release = "2026.11.4";
    const uploaded = await stack.post("browser-relay", "/api/source-maps", {
      project: PROJECT,
      release,
      file_url: "/assets/app.min.js",
      map_content: map,
    });
    assert.equal(uploaded.status, 201, await uploaded.text());

    const shop = await serveShop({ code, config: { dsn: DSN, endpoint: stack.url("browser-relay"), release } });
    const page = await browser.newPage();
    const refused = [];
    page.on("requestfailed", (request) => refused.push(`${request.url()} ${request.failure()?.errorText}`));
    try {
      await page.goto(`${shop.origin}/shop/42?session=abc`);
      // What is clicked before anything was painted has no largest paint.
      await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
      await page.click("#pay");
      await page.click("#reserve");

      const groups = await eventually("both browser errors", async () => {
        const list = await stack.get("error-tracker", `/api/errors?project=${PROJECT}&source=browser`);
        return list.total >= 2 && list.errors;
      });
      const thrown = groups.find((error) => error.exception_type === "TypeError");
      assert.match(thrown.message, /Cannot read properties of undefined \(reading 'price'\)/);
      const detail = await stack.get("error-tracker", `/api/errors/${thrown.id}`);
      const place = `cart.ts:${sourceLine("fails for an item without an offer")}:`;
      assert.ok(detail.traceback.includes(place), `no ${place} in:\n${detail.traceback}`);
      assert.ok(!detail.traceback.split("\n")[1].includes("app.min.js"), detail.traceback);
      const { frames } = detail.occurrences[0].extra.symbolication;
      assert.equal(frames[0].function, "lineTotal");
      assert.equal(frames[1].function, "cartTotal");
      assert.equal(detail.occurrences[0].extra.release, release);

      const rejected = groups.find((error) => error.exception_type === "RangeError");
      assert.equal(rejected.message, "cannot reserve 2 items at once");
      const rejection = await stack.get("error-tracker", `/api/errors/${rejected.id}`);
      assert.ok(rejection.traceback.includes(`cart.ts:${sourceLine("cannot reserve")}:`), rejection.traceback);

      await page.close({ runBeforeUnload: true });
      await eventually("web vitals after the page was closed", async () => {
        const names = (await stack.get("metrics-collector", `/api/metrics/names?project=${PROJECT}`)).metrics.map((metric) => metric.name);
        return ["web_vitals_lcp", "web_vitals_cls", "web_vitals_fcp", "web_vitals_ttfb"].every((name) => names.includes(name));
      });
      const dashboard = await stack.get("metrics-collector", `/api/dashboard?period=1h&project=${PROJECT}`);
      assert.equal(dashboard.web_vitals.summary.lcp.rating, "good");
      assert.ok(dashboard.web_vitals.by_page.some((row) => row.page === "/shop/:id"), JSON.stringify(dashboard.web_vitals.by_page));
      const requests = await stack.get("metrics-collector", `/api/metrics?name=browser_http_requests_total&period=1h&project=${PROJECT}`);
      assert.equal(requests.data.reduce((total, row) => total + row.sum, 0), 1, "the page's own request to /api/stock was not counted once");
      assert.deepEqual(refused, [], "the browser refused or lost requests to the relay");
    } finally {
      await shop.close();
    }
  });

  test("a traceback in a container's log becomes one entry, found by search and delivered by the live tail", async () => {
    write = stack.container("shop-worker");
    write("stdout", "INFO worker started");
    await eventually("the first line", async () => (await stack.get("log-viewer", "/api/logs?container=shop-worker")).total === 1);

    const tail = await fetch(stack.url("log-viewer", "/api/logs/tail?container=shop-worker"), { headers: { "X-API-Key": KEY } });
    assert.equal(tail.status, 200);
    let heard = "";
    const reader = tail.body.getReader();
    const listen = (async () => {
      const decoder = new TextDecoder();
      while (!heard.includes("ZeroDivisionError")) {
        const { done, value } = await reader.read();
        if (done) break;
        heard += decoder.decode(value, { stream: true });
      }
    })();

    const traceback = [
      "Traceback (most recent call last):",
      '  File "/srv/worker.py", line 31, in run',
      "    share = total / len(carts)",
      "            ~~~~~~^~~~~~~~~~~~",
      "ZeroDivisionError: division by zero",
    ];
    for (const line of traceback) write("stderr", line);
    write("stdout", "INFO worker goes on");

    const found = await eventually("the traceback by search", async () => {
      const list = await stack.get("log-viewer", `/api/logs?search=${encodeURIComponent("ZeroDivisionError")}`);
      return list.total === 1 && list.logs[0];
    });
    assert.equal(found.message, traceback.join("\n"));
    assert.equal(found.level, "ERROR");
    assert.equal(found.container, "shop-worker");
    await listen;
    const event = heard
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .map((line) => JSON.parse(line.slice(6)))
      .find((entry) => entry.message?.includes("ZeroDivisionError"));
    assert.equal(event?.message, traceback.join("\n"));
    await reader.cancel();
    // Another stream of the container: its entries are complete at their own time.
    await eventually("the line after it", async () => (await stack.get("log-viewer", "/api/logs?container=shop-worker")).total === 3);
  });

  test("SIGTERM ends all four with status 0, also while a tail is open, and after a restart everything is there", async () => {
    const read = async () => ({
      errors: (await stack.get("error-tracker", "/api/errors")).errors,
      logs: (await stack.get("log-viewer", "/api/logs")).logs,
      names: await stack.get("metrics-collector", "/api/metrics/names"),
      keys: await stack.get("browser-relay", "/api/dsn-keys"),
      maps: await stack.get("browser-relay", "/api/source-maps"),
    });
    const before = await read();
    assert.deepEqual([before.errors.length, before.logs.length, before.maps.total], [3, 3, 1]);
    const tail = await fetch(stack.url("log-viewer", "/api/logs/tail"), { headers: { "X-API-Key": KEY } });
    assert.equal(tail.status, 200);
    const ended = await stack.end("SIGTERM");
    assert.deepEqual(ended, { "error-tracker": 0, "log-viewer": 0, "metrics-collector": 0, "browser-relay": 0 });
    await tail.body.cancel().catch(() => {});
    await stack.start();
    assert.deepEqual(await read(), before);
  });

  describe("its pages in a browser", () => {
    let pages;

    before(async () => {
      pages = await openPages(browser, stack);
    });
    after(() => pages?.close());
    // Whatever a test looks at, the console stays empty and nothing leaves the three origins.
    afterEach(() => assert.deepEqual(pages.faults, []));

    test("a wrong key is refused, the right one signs in, and no script can read it", () => pages.signIn());
    test("the errors are listed with the line that fails, and one is resolved", () => pages.errors(sourceLine("fails for an item")));
    test("logs are searched, filtered and watched as they are written", () => pages.logs(write));
    test("requests and web vitals are drawn", () => pages.metrics());
    test("a phone shows all of it", () => pages.phone());
  });

  test("SIGKILL of all four in mid-load loses no acknowledged report and no acknowledged metric", async () => {
    const acknowledged = new Set();
    let points = 0;
    let stopped = false;
    const report = async (worker) => {
      for (let n = 0; !stopped; n += 1) {
        const type = `Load${worker}x${n}`;
        const body = { project: "load", exception_type: type, message: "m", traceback: `  File "a.py", line ${n}, in f\n` };
        const answer = await stack.post("error-tracker", "/api/errors", body).catch(() => null);
        if (answer?.status === 201 && (await answer.json().catch(() => null))) acknowledged.add(type);
      }
    };
    const count = async () => {
      while (!stopped) {
        const batch = Array.from({ length: 20 }, () => ({ name: "load_total", type: "counter", value: 1, project: "load" }));
        const answer = await stack.post("metrics-collector", "/api/metrics", batch).catch(() => null);
        if (answer?.status === 202 && (await answer.json().catch(() => null))) points += batch.length;
      }
    };
    const workers = [...Array.from({ length: 8 }, (_, worker) => report(worker)), count(), count()];
    await eventually("some load", async () => acknowledged.size > 400 && points > 400, 60);
    const ended = await stack.end("SIGKILL");
    stopped = true;
    await Promise.all(workers);
    assert.ok(Object.values(ended).every((how) => how === "SIGKILL"), JSON.stringify(ended));

    await stack.start();
    const stored = new Set();
    for (let offset = 0; ; offset += 200) {
      const { errors } = await stack.get("error-tracker", `/api/errors?project=load&limit=200&offset=${offset}`);
      errors.forEach((error) => stored.add(error.exception_type));
      if (errors.length < 200) break;
    }
    const lost = [...acknowledged].filter((type) => !stored.has(type));
    assert.deepEqual(lost, []);
    const { data } = await stack.get("metrics-collector", "/api/metrics?name=load_total&period=1h&project=load");
    const sum = data.reduce((total, row) => total + row.sum, 0);
    assert.ok(sum >= points, `${points} acknowledged, ${sum} stored`);
    assert.ok(sum % 20 === 0, `${sum} is no whole number of batches`);
  });
});
