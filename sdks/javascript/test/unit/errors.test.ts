import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import { Page, settle } from "./page.ts";

let page: Page;
beforeEach(() => {
  page = new Page();
});

const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

/** An error whose stack has a fixed top frame. */
function at(place: string, message = "boom"): Error {
  return Object.assign(new TypeError(message), { stack: `TypeError: ${message}\n    at f (https://shop.example/${place})` });
}

test("the payload of an error has the documented shape and order", async () => {
  const client = init(page.config({ release: "1.2.3", endpoint: "https://relay.example///" }));
  client.addContext("cart", 7);
  client.addContext("user_id", "from context");
  client.setUser("u1");
  client.captureError(at("a.js:1:2"), { step: "pay", cart: 8 });
  await settle();
  const [{ url, headers, keepalive, body }] = page.relay as [any];
  assert.equal(url, "https://relay.example/api/browser/errors");
  assert.deepEqual(headers, { "Content-Type": "application/json", "X-Monlight-Key": "k1" });
  assert.equal(keepalive, true);
  assert.deepEqual(Object.keys(body), [
    "type", "message", "stack", "url", "user_agent", "session_id", "event_id", "context", "release", "timestamp",
  ]);
  assert.equal(body.type, "TypeError");
  assert.equal(body.message, "boom");
  assert.equal(body.stack, "TypeError: boom\n    at f (https://shop.example/a.js:1:2)");
  assert.equal(body.url, "https://shop.example/cart/7?x=1&token=[redacted]#top");
  assert.equal(body.user_agent, "UnitTest/1.0");
  assert.match(body.session_id, UUID);
  assert.match(body.event_id, UUID);
  assert.deepEqual(body.context, { cart: 8, user_id: "u1", step: "pay" });
  assert.equal(body.release, "1.2.3");
  assert.match(body.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test("without release, user and context: no release key, an empty context", async () => {
  const client = init(page.config());
  client.setUser("u1");
  client.setUser("");
  client.addContext("gone", 1);
  client.addContext("gone", undefined);
  client.captureError(at("a.js:1:2"));
  await settle();
  assert.equal("release" in page.errors[0], false);
  assert.deepEqual(page.errors[0].context, {});
});

test("environment goes into the context", async () => {
  init(page.config({ environment: "staging" })).captureError(at("a.js:1:2"));
  await settle();
  assert.deepEqual(page.errors[0].context, { environment: "staging" });
});

test("what init throws, and that a disabled client does nothing", async () => {
  assert.throws(() => init({ endpoint: "https://r" } as any), new Error("[Monlight] 'dsn' is required"));
  assert.throws(() => init({ dsn: "k", enabled: false } as any), new Error("[Monlight] 'endpoint' is required"));
  assert.throws(() => init(undefined as any), new Error("[Monlight] 'dsn' is required"));
  const client = init(page.config({ enabled: false }));
  client.captureError(new Error("x"));
  client.captureMessage("x");
  client.setUser("u");
  client.addContext("a", 1);
  assert.equal(await client.flush(), true);
  client.destroy();
  assert.equal(page.window.fetch, page.nativeFetch);
  assert.equal(page.relay.length, 0);
});

test("window errors and rejections", async () => {
  init(page.config());
  page.emit(page.window, "error", { error: at("a.js:1:2", "uncaught"), message: "Uncaught TypeError: uncaught" });
  page.emit(page.window, "error", { error: "str", message: "Uncaught str", filename: "https://shop.example/b.js", lineno: 3, colno: 4 });
  page.emit(page.window, "error", { error: null, message: "Script error.", filename: "", lineno: 0, colno: 0 });
  page.emit(page.window, "unhandledrejection", { reason: at("c.js:1:2", "rejected") });
  page.emit(page.window, "unhandledrejection", { reason: { code: 7 } });
  page.emit(page.window, "unhandledrejection", { reason: undefined });
  await settle();
  assert.deepEqual(
    page.errors.map(({ type, message, stack }) => [type, message, stack]),
    [
      ["TypeError", "uncaught", "TypeError: uncaught\n    at f (https://shop.example/a.js:1:2)"],
      ["Error", "Uncaught str", "    at https://shop.example/b.js:3:4"],
      ["Error", "Script error.", "Error: Script error."],
      ["TypeError", "rejected", "TypeError: rejected\n    at f (https://shop.example/c.js:1:2)"],
      ["UnhandledRejection", '{"code":7}', 'UnhandledRejection: {"code":7}'],
      ["UnhandledRejection", "undefined", "UnhandledRejection: undefined"],
    ],
  );
});

test("captureError takes anything, and captureMessage levels", async () => {
  const client = init(page.config());
  client.captureError("just text");
  client.captureError({ code: 1 });
  client.captureError(null);
  client.captureMessage("watch out", "warning");
  client.captureMessage("it broke", "error");
  client.captureMessage("note");
  await settle();
  assert.deepEqual(
    page.errors.map(({ type, message }) => [type, message]),
    [
      ["Error", "just text"],
      ["Error", '{"code":1}'],
      ["Error", "null"],
      ["ConsoleWarning", "watch out"],
      ["ConsoleError", "it broke"],
      ["ConsoleError", "note"],
    ],
  );
  for (const { stack } of page.errors) {
    assert.match(stack.split("\n")[0], /^\s+at .*errors\.test/, "the caller is on top");
    assert.doesNotMatch(stack, /__monlight/);
  }
});

test("duplicates are told apart by their place, and expire after a minute", async () => {
  const client = init(page.config());
  client.captureError(at("a.js:1:2"));
  client.captureError(at("a.js:1:2"));
  client.captureError(at("b.js:1:2"));
  await settle();
  assert.equal(page.errors.length, 2);
  await page.tick(59_999);
  client.captureError(at("a.js:1:2"));
  await settle();
  assert.equal(page.errors.length, 2);
  await page.tick(1);
  client.captureError(at("a.js:1:2"));
  await settle();
  assert.equal(page.errors.length, 3);
});

test("at most 50 errors a minute leave the page, and the others are counted", async () => {
  const client = init(page.config());
  for (let i = 0; i < 80; i++) client.captureError(at("a.js:1:2", `boom ${i}`));
  await client.flush();
  assert.equal(page.errors.length, 50);
  page.app = () => new Response("");
  await page.window.fetch("/api");
  await page.tick(5000);
  const [dropped] = page.metrics.filter(({ name }) => name === "browser_events_dropped_total");
  assert.equal(dropped.value, 30);
  assert.equal(dropped.labels.reason, "rate_limit");
  await page.tick(60_000);
  client.captureError(at("a.js:1:2", "later"));
  await settle();
  assert.equal(page.errors.at(-1).message, "later");
});

test("beforeSend may change, drop, or fail", async () => {
  const seen: string[] = [];
  const client = init(
    page.config({
      beforeSend(event) {
        seen.push(event.message);
        if (event.message === "drop") return null;
        if (event.message === "fail") throw new Error("scrubber broke");
        return { ...event, message: "changed", extra: 1 } as any;
      },
    }),
  );
  for (const message of ["drop", "fail", "keep"]) client.captureError(at("a.js:1:2", message));
  await settle();
  assert.deepEqual(seen, ["drop", "fail", "keep"]);
  assert.equal(page.errors.length, 1);
  assert.equal(page.errors[0].message, "changed");
  assert.equal(page.errors[0].extra, 1);
});

test("ignoreErrors by text and by pattern, also with the g flag", async () => {
  const client = init(page.config({ ignoreErrors: ["ResizeObserver", /^TypeError: noise/g] }));
  for (const message of ["ResizeObserver loop", "noise 1", "noise 2", "real"]) client.captureError(at("a.js:1:2", message));
  await settle();
  assert.deepEqual(page.errors.map(({ message }) => message), ["real"]);
});

test("scrubParams adds names", async () => {
  init(page.config({ scrubParams: ["x"] })).captureError(at("a.js:1:2"));
  await settle();
  assert.equal(page.errors[0].url, "https://shop.example/cart/7?x=[redacted]&token=[redacted]#top");
});

test("a body too large for the relay is cut with a mark", async () => {
  const client = init(page.config());
  const error = at("a.js:1:2", "m".repeat(100_000));
  error.stack += "\n    at g (https://shop.example/a.js:1:2)".repeat(5000);
  client.captureError(error, { blob: "b".repeat(200_000), list: Array(1000).fill("c".repeat(1000)) });
  await settle();
  const [body] = page.errors;
  assert.ok(new TextEncoder().encode(JSON.stringify(body)).length <= 60_000);
  for (const text of [body.message, body.stack, body.context.blob]) assert.match(text, /…\[truncated\]$/);
});

test("console capture: original first, types, errors among the arguments, no echo of our own warnings", async () => {
  const client = init(page.config({ captureConsole: true, debug: true }));
  console.error("count", 3, { a: 1 });
  console.warn("careful", Object.create(null));
  console.error("failed:", at("a.js:1:2"));
  page.answers.push(() => Promise.reject(new TypeError("Failed to fetch")));
  client.captureMessage("to a dead relay");
  await settle();
  assert.deepEqual(page.logged[0], ["error", "count", 3, { a: 1 }]);
  assert.deepEqual(
    page.errors.map(({ type, message }) => [type, message]),
    [
      ["ConsoleError", 'count 3 {"a":1}'],
      ["ConsoleWarning", "careful [object Object]"],
      ["ConsoleError", "failed: TypeError: boom"],
      ["ConsoleError", "to a dead relay"],
    ],
  );
  assert.match(page.errors[0].stack.split("\n")[0], /errors\.test/);
  assert.equal(page.errors[2].stack, "TypeError: boom\n    at f (https://shop.example/a.js:1:2)");
  assert.ok(page.logged.some(([, text]) => String(text).includes("[Monlight] Transport error:")));
  const { error } = console;
  client.destroy();
  assert.notEqual(console.error, error);
});
