// Nothing the page does may make the SDK throw into it: each test breaks something and goes on.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import { Page, settle } from "./page.ts";

let page: Page;
const undo: (() => void)[] = [];
const rejections: unknown[] = [];
const note = (reason: unknown) => void rejections.push(reason);
let others: NodeJS.UnhandledRejectionListener[] = [];

beforeEach(() => {
  page = new Page();
  rejections.length = 0;
  others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", note);
});
afterEach(async () => {
  for (const restore of undo.splice(0).reverse()) restore();
  await settle();
  process.removeAllListeners("unhandledRejection");
  for (const other of others) process.on("unhandledRejection", other);
  assert.deepEqual(rejections, [], "no rejection of the SDK reaches the page");
});

const thrower = () => {
  throw new Error("hostile");
};

/** Replaces a property for one test by something that throws when called or read. */
function sabotage(target: any, name: string, how: "call" | "read" = "call"): void {
  const before = Object.getOwnPropertyDescriptor(target, name);
  undo.push(() => (before ? Object.defineProperty(target, name, before) : delete target[name]));
  Object.defineProperty(target, name, {
    configurable: true,
    ...(how === "call" ? { value: thrower, writable: true } : { get: thrower }),
  });
}

/** Uses everything of the SDK, as a page would, and checks that the page's own work succeeds. */
async function useEverything(): Promise<void> {
  const client = init(
    page.config({ sampleRate: 1, captureConsole: true, debug: true, environment: "test", ignoreErrors: ["no such error"] }),
  );
  client.captureError(new Error("boom"), { big: 1n });
  client.captureError(Object.create(null));
  client.captureMessage("text", "warning");
  client.setUser("u");
  client.addContext("k", { deep: {} });
  console.error("oops", Object.create(null));
  console.warn(Symbol("s"));
  page.emit(page.window, "error", { error: new Error("e"), message: "m", filename: "f", lineno: 1, colno: 1 });
  page.emit(page.window, "unhandledrejection", { reason: Object.create(null) });
  page.app = () => new Response("own", { status: 500 });
  const response = await page.window.fetch("https://api.example/", { method: "POST" });
  assert.equal(await response.text(), "own");
  page.app = () => Promise.reject(new TypeError("down"));
  await assert.rejects(page.window.fetch("https://api.example/"), /down/);
  const xhr = new page.Xhr() as any;
  xhr.open("GET", "/x");
  xhr.send();
  xhr.finish(500);
  page.perform("paint", { name: "first-contentful-paint", startTime: 1 });
  page.perform("event", { startTime: 1, interactionId: 1, duration: 100 });
  page.setHidden(true);
  page.emit(page.window, "pageshow", { persisted: true });
  page.emit(page.window, "pagehide");
  await page.tick(20_000);
  await Promise.race([client.flush(10), page.tick(20)]);
  client.destroy();
  client.destroy();
}

test("in a healthy page everything works", async () => {
  await useEverything();
  assert.ok(page.errors.length >= 9, `${page.errors.length}`);
});

const globals: [name: string, how: "call" | "read"][] = [
  ["sessionStorage", "read"],
  ["location", "read"],
  ["navigator", "read"],
  ["PerformanceObserver", "read"],
  ["requestAnimationFrame", "call"],
  ["TextEncoder", "call"],
  ["crypto", "read"],
  ["Blob", "call"],
];
for (const [name, how] of globals) {
  test(`with a hostile ${name}`, async () => {
    sabotage(globalThis, name, how);
    await useEverything();
  });
}

const methods: [label: string, target: () => any, name: string][] = [
  ["sessionStorage.getItem", () => (globalThis as any).sessionStorage, "getItem"],
  ["sessionStorage.setItem", () => (globalThis as any).sessionStorage, "setItem"],
  ["performance.now", () => performance, "now"],
  ["performance.getEntriesByType", () => performance, "getEntriesByType"],
  ["navigator.sendBeacon", () => navigator, "sendBeacon"],
  ["window.addEventListener", () => page.window, "addEventListener"],
  ["document.addEventListener", () => page.document, "addEventListener"],
  ["window.removeEventListener", () => page.window, "removeEventListener"],
  ["xhr.addEventListener", () => page.Xhr.prototype, "addEventListener"],
  ["console.warn", () => console, "warn"],
  ["JSON.stringify", () => JSON, "stringify"],
  ["Date.prototype.toISOString", () => Date.prototype, "toISOString"],
  ["String.prototype.replace", () => String.prototype, "replace"],
  ["Math.random", () => Math, "random"],
];
for (const [label, target, name] of methods) {
  test(`with a throwing ${label}`, async () => {
    if (label === "console.warn") {
      // The page's own call to a broken console still throws; ours must not.
      sabotage(console, "warn");
      const client = init(page.config({ debug: true, endpoint: "http://[" }));
      client.captureMessage("x");
      return;
    }
    sabotage(target(), name);
    await useEverything();
  });
}

test("with frozen objects to patch", async () => {
  Object.freeze(page.window);
  Object.freeze(page.Xhr.prototype);
  await useEverything();
  assert.equal(page.window.fetch, page.nativeFetch);
});

test("with values that fight back", async () => {
  const client = init(page.config({ captureConsole: true }));
  const cycle: any = {};
  cycle.cycle = cycle;
  const evil = new Proxy({}, { get: thrower, ownKeys: thrower, getPrototypeOf: thrower, has: thrower });
  const values: unknown[] = [
    cycle, evil, 1n, Symbol("s"), Object.create(null), "\uD800", () => {}, NaN, new Proxy(new Error("x"), { get: thrower }),
    { toJSON: thrower }, { toString: thrower }, { get message() { throw 1; } }, { message: evil, stack: evil }, document,
  ];
  for (const value of values) {
    client.captureError(value, { value });
    client.captureMessage(value as string, value as string);
    client.setUser(value as string);
    client.addContext(value as string, value);
    console.error(value, "and", value);
    page.emit(page.window, "error", { error: value, message: value });
    page.emit(page.window, "unhandledrejection", { reason: value });
    await page.tick(61_000);
  }
  assert.ok(page.errors.length > values.length);
  for (const error of page.errors) {
    assert.equal(typeof error.type, "string");
    assert.equal(typeof error.message, "string");
    assert.equal(typeof error.stack, "string");
    assert.equal(JSON.stringify(error).includes("\\ud8"), false, "no lone surrogates on the wire");
  }
});

test("with a throwing beforeSend, a failing app request still gets its answer", async () => {
  const client = init(page.config({ beforeSend: thrower }));
  page.app = () => new Response("own", { status: 500 });
  assert.equal(await (await page.window.fetch("https://api.example/")).text(), "own");
  client.captureError(new Error("x"));
  await settle();
  assert.equal(page.errors.length, 0);
});

test("with a beforeSend that causes errors itself", async () => {
  let calls = 0;
  init(
    page.config({
      captureConsole: true,
      beforeSend(event) {
        console.error(`seen ${++calls}`);
        return event;
      },
    }),
  ).captureMessage("start");
  await settle();
  assert.ok(calls <= 50);
});

test("with arguments fetch and XHR were not made for", async () => {
  init(page.config());
  for (const args of [[], [null], [undefined, null], ["http://["], [{ url: thrower }], ["/x", { get method() { throw 1; } }]]) {
    await page.window.fetch(...args).catch(() => {});
  }
  const xhr = new page.Xhr() as any;
  xhr.send();
  xhr.open();
  xhr.open("GET", "http://[");
  xhr.send();
  xhr.finish(0);
});

test("with an endpoint that is no URL", async () => {
  const client = init(page.config({ endpoint: "http://[" }));
  client.captureMessage("x");
  client.destroy();
  assert.equal(page.window.fetch, page.nativeFetch);
});
