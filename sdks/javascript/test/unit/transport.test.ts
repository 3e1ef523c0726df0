import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import { Page, settle } from "./page.ts";

let page: Page;
beforeEach(() => {
  page = new Page();
});

const fail = () => Promise.reject(new TypeError("Failed to fetch"));
const status = (code: number, headers = {}, body = "{}") => () => new Response(body, { status: code, headers });

test("metrics go out in tens, after five seconds, and when destroyed", async () => {
  const client = init(page.config());
  for (let i = 0; i < 6; i++) await page.window.fetch("https://api.example/");
  await settle();
  assert.equal(page.relay.length, 1);
  assert.deepEqual(Object.keys(page.relay[0]!.body), ["event_id", "metrics"]);
  assert.equal(page.metrics.length, 10);
  await page.tick(4999);
  assert.equal(page.relay.length, 1);
  await page.tick(1);
  assert.equal(page.metrics.length, 12);
  await page.window.fetch("https://api.example/");
  client.destroy();
  await settle();
  assert.equal(page.metrics.length, 14);
  await page.tick(60_000);
  assert.equal(page.relay.length, 3);
});

test("failed requests are tried again with growing pauses, five times in all", async () => {
  const client = init(page.config());
  for (let i = 0; i < 9; i++) page.answers.push(fail);
  client.captureMessage("lost");
  await settle();
  const attempts: number[] = [];
  for (let second = 0; second < 40; second++) {
    attempts.push(page.relay.length);
    await page.tick(1000);
  }
  assert.equal(page.relay.length, 5);
  const pauses = [1, 2, 3, 4].map((n) => attempts.filter((count) => count === n).length);
  assert.deepEqual([...pauses].sort((a, b) => a - b), pauses);
  assert.equal(page.relay[0]!.keepalive, true);
  assert.equal(page.relay[1]!.keepalive, false, "a repetition need not outlive the page");
  page.answers.length = 0;
  await page.tick(60_000);
  await page.window.fetch("https://api.example/");
  assert.equal(await client.flush(), true);
  const dropped = page.metrics.find(({ name }) => name === "browser_events_dropped_total");
  assert.equal(dropped.labels.reason, "undelivered");
});

test("a repetition has the id of the first attempt, every other event one of its own", async () => {
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const ids = () => page.relay.map(({ body }) => body.event_id);
  // Pages without TLS have no `randomUUID`.
  for (const randomUUID of [undefined, crypto.randomUUID]) {
    page = new Page();
    Object.defineProperty(crypto, "randomUUID", { value: randomUUID, configurable: true });
    const client = init(page.config());
    page.answers.push(fail, status(503));
    client.captureMessage("once");
    await page.tick(1000);
    await page.tick(2000);
    assert.equal(page.relay.length, 3);
    assert.match(ids()[0], uuid);
    assert.deepEqual(new Set(ids()), new Set([ids()[0]]));
    page.relay.length = 0;
    page.answers.push(fail, fail);
    // A batch fails, and goes again when the page ends, in the end by beacon; what came meanwhile is another one.
    for (let i = 0; i < 5; i++) await page.window.fetch("https://api.example/");
    await settle();
    await page.window.fetch("https://api.example/");
    page.setHidden(true);
    await settle();
    assert.deepEqual(page.relay.map(({ via, body }) => [via, body.metrics.length]), [["fetch", 10], ["fetch", 10], ["fetch", 2], ["beacon", 10]]);
    assert.deepEqual([ids()[1], ids()[3]], [ids()[0], ids()[0]]);
    assert.notEqual(ids()[2], ids()[0]);
    for (const id of ids()) assert.match(id, uuid);
    client.destroy();
  }
});

test("Retry-After is kept to: as header, as date, in the body", async () => {
  for (const [answer, wait] of [
    [status(429, { "Retry-After": "7" }), 7000],
    [status(503, { "Retry-After": new Date(Date.now() + 20_500).toUTCString() }), 20_000],
    [status(429, {}, '{"detail":"Rate limit exceeded","retry_after":9}'), 9000],
  ] as const) {
    page = new Page();
    const client = init(page.config());
    page.answers.push(answer);
    client.captureMessage("again");
    await settle();
    await page.tick(wait - 2000);
    client.captureMessage("meanwhile");
    page.setHidden(true);
    await settle();
    assert.equal(page.relay.length, 1, "nothing is sent before, not even by a page that is hidden");
    page.setHidden(false);
    await page.tick(3100);
    await settle();
    assert.deepEqual(page.errors.slice(1).map(({ message }) => message).sort(), ["again", "meanwhile"]);
    client.destroy();
  }
});

test("an unreadable Retry-After falls back to the pause of our own", async () => {
  const client = init(page.config());
  page.answers.push(status(503, { "Retry-After": "soon" }), status(502, {}, "<html>"));
  client.captureMessage("again");
  await page.tick(1000);
  await page.tick(2000);
  assert.equal(page.relay.length, 3);
});

test("what the relay refuses is not repeated but counted", async () => {
  const client = init(page.config());
  page.answers.push(status(400), status(401), status(413));
  for (const text of ["a", "b", "c"]) client.captureMessage(text);
  await page.tick(120_000);
  assert.equal(page.relay.length, 3);
  await page.window.fetch("https://api.example/");
  await client.flush();
  const dropped = page.metrics.find(({ name }) => name === "browser_events_dropped_total");
  assert.deepEqual([dropped.value, dropped.labels.reason, dropped.type], [3, "rejected", "counter"]);
  assert.deepEqual(Object.keys(dropped.labels), ["reason", "session_id", "page"]);
  await page.window.fetch("https://api.example/");
  await client.flush();
  assert.equal(page.values("browser_events_dropped_total").length, 1, "counted once");
});

test("counts of dropped events alone do not make requests", async () => {
  const client = init(page.config());
  page.answers.push(status(401));
  client.captureMessage("a");
  await page.tick(120_000);
  assert.equal(page.relay.length, 1);
});

test("the queue is bounded and loses its oldest", async () => {
  const client = init(page.config());
  page.answers.push(status(503, { "Retry-After": "500" }));
  client.captureMessage("first");
  await settle();
  for (let minute = 0; minute < 3; minute++) {
    for (let i = 0; i < 25; i++) client.captureMessage(`m${minute}-${i}`);
    await page.tick(61_000);
  }
  await page.tick(400_000);
  const messages = page.errors.slice(1).map(({ message }) => message);
  assert.equal(messages.length, 50);
  assert.deepEqual([messages[0], messages[49]], ["m1-0", "m2-24"]);
});

test("hiding sends the buffer by a fetch that needs no preflight, key in the URL", async () => {
  init(page.config({ dsn: "k/1" }));
  await page.window.fetch("https://api.example/");
  page.setHidden(true);
  await settle();
  assert.equal(page.relay.length, 1);
  assert.equal(page.relay[0]!.via, "fetch");
  assert.equal(page.relay[0]!.keepalive, true);
  assert.equal(page.relay[0]!.url, "https://relay.example/api/browser/metrics?key=k%2F1");
  assert.deepEqual(page.relay[0]!.headers, {});
  page.emit(page.window, "pagehide");
  await settle();
  assert.equal(page.relay.length, 1, "an empty buffer sends nothing");
});

test("hiding overrides the pauses of our own", async () => {
  const client = init(page.config());
  page.answers.push(fail);
  client.captureMessage("once more");
  await settle();
  page.emit(page.window, "pagehide");
  await settle();
  assert.equal(page.relay.length, 2);
});

test("what is on its way when the page is hidden goes by beacon once more", async () => {
  const client = init(page.config());
  let answer = (_: Response) => {};
  page.answers.push(() => new Promise<Response>((resolve) => (answer = resolve)));
  client.captureMessage("perhaps not permitted yet");
  await settle();
  page.setHidden(true);
  page.emit(page.window, "pagehide");
  await settle();
  assert.deepEqual(page.relay.map(({ via }) => via), ["fetch", "beacon"]);
  assert.deepEqual(page.relay[1]!.body, page.relay[0]!.body, "the same id");
  answer(new Response("{}", { status: 202 }));
  assert.equal(await client.flush(), true);
  page.setHidden(true);
  await settle();
  assert.equal(page.relay.length, 2);
});

test("what failed on hiding is sent again with the key in the header", async () => {
  page.beaconAccepts = false;
  const client = init(page.config());
  await page.window.fetch("https://api.example/");
  page.answers.push(fail);
  page.setHidden(true);
  await settle();
  await page.tick(61_000);
  assert.equal(await client.flush(), true);
  assert.deepEqual(page.relay.map(({ url }) => new URL(url).search), ["?key=k1", ""]);
  assert.equal(page.relay[1]!.headers["X-Monlight-Key"], "k1");
  assert.deepEqual(page.relay[1]!.body, page.relay[0]!.body);
});

test("without keepalive the beacon is used on hiding, key in the URL", async () => {
  page.window.Request = class {};
  Object.defineProperty(globalThis, "Request", { value: page.window.Request, configurable: true, writable: true });
  init(page.config({ dsn: "k/1" }));
  await page.window.fetch("https://api.example/");
  page.setHidden(true);
  await settle();
  assert.equal(page.relay.length, 1);
  assert.equal(page.relay[0]!.via, "beacon");
  assert.equal(page.relay[0]!.url, "https://relay.example/api/browser/metrics?key=k%2F1");
  assert.equal(page.metrics.length, 2);
});

test("without fetch everything goes by beacon", async () => {
  page.window.fetch = undefined;
  const client = init(page.config());
  client.captureMessage("old browser");
  await settle();
  assert.deepEqual(page.relay.map(({ via, url }) => [via, url]), [["beacon", "https://relay.example/api/browser/errors?key=k1"]]);
});

test("the keepalive budget in bytes is kept, then the beacon is tried, then a plain fetch", async () => {
  let release = () => {};
  const hold = new Promise<void>((resolve) => (release = resolve));
  const held = async () => {
    await hold;
    return new Response("{}", { status: 202 });
  };
  for (let i = 0; i < 4; i++) page.answers.push(held);
  const client = init(page.config());
  const big = (n: number) => client.captureError(`big ${n}`, { text: "x".repeat(16_000), more: "y".repeat(9_000) });
  for (let n = 0; n < 4; n++) big(n);
  await settle();
  assert.deepEqual(page.relay.map(({ keepalive }) => keepalive), [true, true, false, false]);
  big(4);
  page.beaconAccepts = true;
  page.setHidden(true);
  await settle();
  assert.deepEqual([page.relay[4]!.via, page.relay[4]!.body], ["beacon", page.errors[4]]);
  const sent = page.relay.length;
  page.beaconAccepts = false;
  big(5);
  page.emit(page.window, "pagehide");
  await settle();
  assert.deepEqual([page.relay[sent]!.via, page.relay[sent]!.keepalive], ["fetch", false]);
  release();
  assert.equal(await client.flush(), true);
  big(6);
  await settle();
  assert.equal(page.relay.at(-1)!.keepalive, true, "the budget is given back");
});

test("no more than nine keepalive requests at once", async () => {
  page.beaconAccepts = false;
  const client = init(page.config());
  for (let i = 0; i < 20; i++) page.answers.push(() => new Promise<Response>(() => {}));
  for (let i = 0; i < 20; i++) client.captureMessage(`m${i}`);
  assert.equal(page.relay.length, 4, "four at a time while the page lives");
  page.setHidden(true);
  await settle();
  assert.equal(page.relay.length, 20);
  assert.equal(page.relay.filter(({ keepalive }) => keepalive).length, 9);
});

test("flush gives up after its time-out", async () => {
  const client = init(page.config());
  page.answers.push(() => new Promise<Response>(() => {}));
  client.captureMessage("slow");
  const flushed = client.flush(300);
  await page.tick(300);
  assert.equal(await flushed, false);
});

test("a fetch that throws at once is a failure like any other", async () => {
  page.window.fetch = () => {
    throw new Error("blocked");
  };
  const client = init(page.config());
  client.captureMessage("x");
  await page.tick(60_000);
  client.destroy();
});
