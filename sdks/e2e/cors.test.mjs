// The relay's table of keys and origins (docs/services/browser-relay.md), row by row, in a real browser: what it sends, what
// the relay answers, and what the page gets to see of it.

import assert from "node:assert/strict";
import { createServer, request as httpRequest } from "node:http";
import { after, before, beforeEach, describe, test } from "node:test";
import { chromium } from "playwright-core";

import { ADMIN_KEY, CHROMIUM, CHROMIUM_ARGS, DSN, PROJECT, Stack, eventually } from "./stack.mjs";

const ERRORS = "/api/browser/errors";
const METRICS = "/api/browser/metrics";
const error = (type) => ({ type, message: "m", stack: `${type}: m\n    at f (https://shop.example/a.js:1:2)` });
const batch = (name) => ({ metrics: [{ name, type: "counter", value: 1 }] });

async function listen(server) {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}`;
}

const closed = (server) => new Promise((done) => (server.closeAllConnections(), server.close(done)));

/** An empty page of an origin of its own. */
class Site {
  #server = createServer((request, response) => {
    response.writeHead(200, { "Content-Type": "text/html" });
    response.end('<!doctype html><title>Shop</title><link rel="icon" href="data:,">');
  });

  async start() {
    this.origin = await listen(this.#server);
  }

  close() {
    return closed(this.#server);
  }
}

/** Stands before the relay and notes what the browser sends to it and what it is answered. */
class Door {
  seen = [];
  #server = createServer((request, response) => {
    const { method, url, headers } = request;
    const passed = httpRequest(this.target + url, { method, headers }, (answer) => {
      const allowed = answer.headers["access-control-allow-origin"] !== undefined;
      this.seen.push({ method, path: url.split("?")[0], status: answer.statusCode, allowed });
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.on("error", () => passed.destroy());
    request.pipe(passed);
  });

  async start(target) {
    this.target = target;
    this.url = await listen(this.#server);
  }

  close() {
    return closed(this.#server);
  }

  of(method) {
    return this.seen.filter((one) => one.method === method);
  }
}

/**
 * Sends from within a page. `way` is how the key travels: in the header, in the URL, or in the URL of a request that asks for
 * no permission and whose answer nobody may read. Answers what the page can see.
 */
function sendFrom(page, { url, key, way = "header", body, method = "POST", headers = {} }) {
  return page.evaluate(
    async ([target, options]) => {
      try {
        const answer = await fetch(target, options);
        const text = await answer.text();
        return { status: answer.status, type: answer.type, text, retryAfter: answer.headers.get("Retry-After") };
      } catch (fault) {
        return { refused: fault.name };
      }
    },
    [
      way === "header" || key === undefined ? url : `${url}?key=${key}`,
      {
        method,
        body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
        ...(way === "simple"
          ? { mode: "no-cors", headers: { "Content-Type": "text/plain" } }
          : {
              headers: {
                ...(method === "POST" && { "Content-Type": "application/json" }),
                ...(way === "header" && key !== undefined && { "X-Monlight-Key": key }),
                ...headers,
              },
            }),
      },
    ],
  );
}

describe("origins", () => {
  const sites = { allowed: new Site(), own: new Site(), foreign: new Site() };
  const keys = { plain: DSN, unknown: "0".repeat(32), none: undefined };
  const door = new Door();
  let stack;
  let browser;
  let context;

  async function newKey(name, settings) {
    const answer = await stack.post("browser-relay", "/api/dsn-keys", { project: PROJECT, ...settings });
    const made = await answer.json();
    assert.equal(answer.status, 201, JSON.stringify(made));
    keys[name] = made.public_key;
    return made.id;
  }

  before(async () => {
    for (const site of Object.values(sites)) await site.start();
    stack = new Stack({ "browser-relay": { CORS_ORIGINS: sites.allowed.origin } });
    await stack.start();
    await door.start(stack.url("browser-relay"));
    await newKey("own", { origins: [sites.own.origin] });
    await newKey("open", { origins: [sites.own.origin], allow_no_origin: true });
    const id = await newKey("deactivated", {});
    const gone = await fetch(stack.url("browser-relay", `/api/dsn-keys/${id}`), { method: "DELETE", headers: { "X-API-Key": ADMIN_KEY } });
    assert.equal(gone.status, 200);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
  });
  after(async () => {
    await browser?.close();
    await door.close();
    for (const site of Object.values(sites)) await site.close();
    await stack?.remove();
  });
  // A new one has no permissions of before in its cache.
  beforeEach(async () => {
    await context?.close();
    context = await browser.newContext();
    door.seen = [];
  });

  async function open(site) {
    const page = await context.newPage();
    await page.goto(sites[site].origin);
    return page;
  }

  /** What the browser asks and sends, and what the page sees: `readable`, `opaque` or `refused`. */
  const ROWS = [
    ["plain", "allowed", "header", { asked: true, sent: 201, page: "readable" }],
    ["plain", "allowed", "url", { asked: true, sent: 201, page: "readable" }],
    ["plain", "foreign", "header", { asked: false, page: "refused" }],
    ["plain", "foreign", "url", { asked: false, page: "refused" }],
    ["plain", "foreign", "simple", { sent: 201, page: "opaque" }],
    // Of another key: its preflight does not say which key will come.
    ["plain", "own", "header", { asked: true, sent: 201, page: "refused" }],
    ["plain", "own", "url", { asked: false, page: "refused" }],
    ["own", "own", "header", { asked: true, sent: 201, page: "readable" }],
    ["own", "own", "url", { asked: true, sent: 201, page: "readable" }],
    ["own", "allowed", "header", { asked: true, sent: 403, page: "refused" }],
    ["own", "allowed", "url", { asked: false, page: "refused" }],
    ["own", "foreign", "header", { asked: false, page: "refused" }],
    ["own", "foreign", "simple", { sent: 403, page: "opaque" }],
    ["open", "foreign", "simple", { sent: 403, page: "opaque" }],
    ...["unknown", "deactivated", "none"].flatMap((key) => [
      [key, "allowed", "header", { asked: true, sent: 401, page: "readable" }],
      [key, "allowed", "url", { asked: true, sent: 401, page: "readable" }],
      [key, "own", "header", { asked: true, sent: 401, page: "readable" }],
      [key, "foreign", "header", { asked: false, page: "refused" }],
      [key, "foreign", "simple", { sent: 401, page: "opaque" }],
    ]),
  ];
  for (const [key, site, way, { asked, sent, page: seen }] of ROWS) {
    test(`key ${key}, page ${site}, ${way}`, async () => {
      const page = await open(site);
      // Each a kind of its own, so that it is a new one.
      for (const [path, body] of [[ERRORS, error(`Cors_${key}_${site}_${way}`)], [METRICS, batch("cors_total")]]) {
        door.seen = [];
        const answer = await sendFrom(page, { url: door.url + path, key: keys[key], way, body });
        const status = sent === 201 && path === METRICS ? 202 : sent;
        assert.deepEqual(door.of("OPTIONS"), asked === undefined ? [] : [{ method: "OPTIONS", path, status: 204, allowed: asked }]);
        assert.deepEqual(door.of("POST"), sent === undefined ? [] : [{ method: "POST", path, status, allowed: seen === "readable" }]);
        if (seen === "readable") {
          assert.equal(answer.status, status, answer.text);
          assert.doesNotThrow(() => JSON.parse(answer.text));
        } else if (seen === "opaque") assert.deepEqual(answer, { status: 0, type: "opaque", text: "", retryAfter: null });
        else assert.deepEqual(answer, { refused: "TypeError" });
      }
    });
  }

  test("requests without an origin are taken where the key allows it", async () => {
    const expected = { plain: 202, own: 403, open: 202, unknown: 401, deactivated: 401 };
    for (const [key, status] of Object.entries(expected)) {
      const asked = await fetch(door.url + METRICS, { method: "OPTIONS" });
      assert.equal(asked.status, 204);
      const answer = await fetch(`${door.url}${METRICS}?key=${keys[key]}`, { method: "POST", body: JSON.stringify(batch("cors_total")) });
      assert.equal(answer.status, status, key);
      assert.equal(answer.headers.get("Access-Control-Allow-Origin"), null);
    }
  });

  test("a page reads refusals of every kind, and when to come back", async () => {
    await newKey("limited", { rate_limit: 1 });
    const page = await open("allowed");
    const url = door.url + METRICS;
    const body = batch("cors_total");
    const check = async (status, detail, options) => {
      const answer = await sendFrom(page, { url, key: keys.plain, body, ...options });
      assert.equal(answer.status, status, JSON.stringify(answer));
      assert.match(JSON.parse(answer.text).detail, detail);
      return answer;
    };
    await check(400, /^Invalid JSON$/, { body: "{" });
    await check(401, /^Invalid DSN key$/, { key: keys.unknown });
    await check(404, /^Not found$/, { url: `${door.url}/api/browser/nothing` });
    await check(405, /^Method not allowed$/, { method: "GET", way: "url", body: undefined });
    await check(413, /maximum size|too large/i, { body: { ...body, url: "x".repeat(70_000) } });
    await check(415, /^Unsupported Content-Encoding: /, { headers: { "Content-Encoding": "br" } });
    assert.equal((await sendFrom(page, { url, key: keys.limited, body })).status, 202);
    const limited = await check(429, /^Rate limit exceeded$/, { key: keys.limited });
    assert.ok(Number(limited.retryAfter) >= 1 && Number(limited.retryAfter) <= 60, limited.retryAfter);
    assert.deepEqual(door.of("OPTIONS").filter(({ allowed }) => !allowed), []);
  });

  test("a page reads that the relay is full", async () => {
    const inFlight = async () => {
      const answer = await fetch(stack.url("browser-relay", "/metrics"), { headers: { "X-API-Key": ADMIN_KEY } });
      return Number(/^monlight_relay_events_in_flight (\d+)$/m.exec(await answer.text())[1]);
    };
    const page = await open("allowed");
    // As many events of one key as may be under way, none of which comes to its end.
    const held = Array.from({ length: 96 }, () => {
      const headers = { "Content-Type": "application/json", "Content-Length": "100", "X-Monlight-Key": keys.plain };
      const request = httpRequest(stack.url("browser-relay", METRICS), { method: "POST", headers, agent: false });
      request.on("error", () => {});
      request.write("{");
      return request;
    });
    try {
      await eventually("96 events under way", async () => (await inFlight()) === 96);
      const answer = await sendFrom(page, { url: door.url + METRICS, key: keys.plain, body: batch("cors_total") });
      assert.deepEqual({ ...answer, text: JSON.parse(answer.text).detail }, { status: 503, type: "cors", text: "Too many events at the same time", retryAfter: "1" });
    } finally {
      held.forEach((request) => request.destroy());
    }
    await eventually("the end of these", async () => (await inFlight()) === 0);
  });

  test("a page reads that an event is kept for later, and that it cannot be kept", async () => {
    const dead = { ERROR_TRACKER_URL: "http://127.0.0.1:1", METRICS_COLLECTOR_URL: "http://127.0.0.1:1", CORS_ORIGINS: sites.allowed.origin };
    for (const [most, status, text] of [["10", 202, '{"status":"queued"}'], ["0", 502, '{"detail":"Upstream error"}']]) {
      const alone = new Stack({ "browser-relay": { ...dead, OUTBOX_MAX_EVENTS: most } });
      try {
        await alone.startOne("browser-relay");
        const page = await open("allowed");
        const answer = await sendFrom(page, { url: alone.url("browser-relay", ERRORS), key: DSN, body: error("Kept") });
        assert.equal(answer.status, status, JSON.stringify(answer));
        assert.deepEqual(JSON.parse(answer.text), JSON.parse(text));
        if (status === 502) assert.ok(Number(answer.retryAfter) >= 1);
      } finally {
        await alone.remove();
      }
    }
  });

  /** Opens a page that sends an error and a metric by beacon when it hears `event`, with the key in the URL. */
  async function beacons(site, key, name, type, event) {
    const page = await open(site);
    await page.evaluate(
      ([event, type, sent]) => {
        addEventListener(event, () => {
          for (const [url, body] of sent) navigator.sendBeacon(url, new Blob([JSON.stringify(body)], { type }));
        });
      },
      [event, type, [[ERRORS, error(name)], [METRICS, batch(name)]].map(([path, body]) => [`${door.url}${path}?key=${key}`, body])],
    );
    return page;
  }

  /** Leaves a page that sends an error and a metric on its way out. */
  async function leave(site, key, name, type = "text/plain") {
    const page = await beacons(site, key, name, type, "pagehide");
    await page.close({ runBeforeUnload: true });
  }

  const arrived = async (name) => {
    const { errors } = await stack.get("error-tracker", `/api/errors?project=${PROJECT}&limit=200`);
    const { metrics } = await stack.get("metrics-collector", `/api/metrics/names?project=${PROJECT}`);
    return [errors.some((one) => one.exception_type === name), metrics.some((one) => one.name === name)];
  };
  const all = async (name) => (await arrived(name)).every(Boolean);

  for (const [key, site] of [["plain", "allowed"], ["own", "own"]]) {
    test(`beacons at the end of a page arrive: key ${key}, page ${site}`, async () => {
      const name = `Beacon_${key}`;
      await leave(site, keys[key], name);
      await eventually("error and metric of a closed page", () => all(name));
      assert.deepEqual(door.of("OPTIONS"), []);
    });
    // Not at the end of a page: there a browser may not wait for the answer to its question.
    test(`beacons as JSON, with a question before, arrive: key ${key}, page ${site}`, async () => {
      const name = `Asking_${key}`;
      const page = await beacons(site, keys[key], name, "application/json", "send");
      await page.evaluate(() => dispatchEvent(new Event("send")));
      await eventually("error and metric", () => all(name));
      assert.deepEqual(door.of("OPTIONS").map(({ allowed }) => allowed), [true, true]);
    });
  }

  for (const [key, site, statuses] of [["plain", "foreign", [201, 202]], ["own", "allowed", [403, 403]]]) {
    test(`beacons at the end of a page of a foreign origin: key ${key}, page ${site}, ${statuses}`, async () => {
      const name = `Foreign_${key}`;
      await leave(site, keys[key], name);
      await eventually("both answers", () => door.of("POST").length === 2);
      assert.deepEqual(door.of("POST").map(({ status, allowed }) => [status, allowed]).sort(), statuses.map((status) => [status, false]));
      assert.deepEqual(await arrived(name), statuses.map((status) => status < 400));
    });
  }

  test("beacons as JSON of a foreign page do not arrive: the browser asks and sends nothing", async () => {
    for (const [key, site] of [["plain", "foreign"], ["own", "allowed"]]) {
      const name = `Foreign_asking_${key}`;
      await leave(site, keys[key], name, "application/json");
      await eventually("both questions", () => door.of("OPTIONS").length === 2);
      assert.deepEqual(door.of("OPTIONS").filter(({ allowed }) => allowed), []);
      // Those of a page that was left later are there.
      await leave("allowed", keys.plain, `After_${key}`);
      await eventually("the later beacons", () => all(`After_${key}`));
      assert.deepEqual(await arrived(name), [false, false]);
      await eventually("their answers", () => door.of("POST").length >= 2);
      assert.equal(door.of("POST").length, 2);
      await context.close();
      context = await browser.newContext();
      door.seen = [];
    }
  });
});
