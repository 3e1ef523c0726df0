// What injected bundles have noted goes out with the errors of their scripts.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { init } from "../../src/index.ts";
import { debugIds } from "../../src/lib/debug-ids.ts";
import { Page, settle } from "./page.ts";

const ID = "0f0e0d0c-0b0a-4908-8706-050403020100";
const holder = globalThis as { _monlightDebugIds?: unknown };
const same = (text: string): string => text;

/** What the bundle of a URL notes in V8. */
const noted = (url: string): string => `Error\n    at ${url}:1:76\n    at ${url}:1:231`;

let page: Page;
beforeEach(() => {
  page = new Page();
});
afterEach(() => {
  delete holder._monlightDebugIds;
});

/** What is sent when the bundles with these traces have started and an error has this stack. */
async function sent(registry: unknown, stack: string): Promise<any> {
  holder._monlightDebugIds = registry;
  init(page.config()).captureError(Object.assign(new Error("boom"), { stack }));
  await settle();
  return page.errors[0];
}

test("only scripts of the stack are named", async () => {
  const registry = { [noted("https://shop.example/a.js")]: ID, [noted("https://shop.example/b.js")]: "b" };
  const { debug_ids } = await sent(registry, "Error: boom\n    at f (https://shop.example/a.js:2:3)\n    at g (https://cdn.example/b.js:1:1)");
  assert.deepEqual(debug_ids, { "https://shop.example/a.js": ID });
});

test("without bundles that note anything, or without frames of theirs, there is no such key", async () => {
  assert.equal("debug_ids" in (await sent(undefined, "Error\n    at f (https://shop.example/a.js:2:3)")), false);
  assert.equal("debug_ids" in (await sent({ [noted("https://shop.example/a.js")]: ID }, "Error\n    at f (https://shop.example/a.jsx:2:3)")), false);
});

test("the traces of all engines are understood", () => {
  const check = (trace: string, url: string) => {
    holder._monlightDebugIds = { [trace]: ID };
    assert.deepEqual(debugIds(`f@${url}:2:3`, same), { [url]: ID }, trace);
    assert.deepEqual(debugIds(`    at f (${url}:2:3)`, same), { [url]: ID }, trace);
  };
  check(noted("https://shop.example/a.js"), "https://shop.example/a.js");
  check("Error\n    at f (https://shop.example/a.js:1:2)\n    at https://shop.example/b.js:1:1", "https://shop.example/a.js");
  check("@https://shop.example/pkg@1.0/a.js:1:76\n@https://shop.example/b.js:1:231\n", "https://shop.example/pkg@1.0/a.js");
  check("global code@https://shop.example/a.js?v=3:1:76", "https://shop.example/a.js?v=3");
  check("https://shop.example:8080/a.js:1:76", "https://shop.example:8080/a.js");
  check("Error\n    at blob:https://shop.example/1f0e0d0c:1:76", "blob:https://shop.example/1f0e0d0c");
  check("Error\n    at file:///C:/shop/a.js:1:76", "file:///C:/shop/a.js");
});

test("secrets of a script's URL are taken out as they are in the stack", async () => {
  const url = "https://shop.example/a.js?token=abc";
  const { stack, debug_ids } = await sent({ [noted(url)]: ID }, `Error\n    at f (${url}:2:3)`);
  assert.match(stack, /a\.js\?token=\[redacted\]:2:3/);
  assert.deepEqual(debug_ids, { "https://shop.example/a.js?token=[redacted]": ID });
});

test("there are at most 32", async () => {
  const urls = Array.from({ length: 40 }, (_, n) => `https://shop.example/${n}.js`);
  const registry = Object.fromEntries(urls.map((url) => [noted(url), ID]));
  const { debug_ids } = await sent(registry, `Error\n${urls.map((url) => `    at f (${url}:2:3)`).join("\n")}`);
  assert.equal(Object.keys(debug_ids).length, 32);
});

test("a page that breaks the notes still has its errors reported", async () => {
  const broken = new Proxy({}, { ownKeys: () => { throw new Error("broken"); } });
  for (const registry of [broken, "text", { "no trace": ID, "": ID }, { [noted("https://shop.example/a.js")]: null }]) {
    page = new Page();
    const error = await sent(registry, `Error ${String(typeof registry)}\n    at f (https://shop.example/b.js:2:3)`);
    assert.equal(error.message, "boom");
    assert.equal("debug_ids" in error, false);
  }
});
