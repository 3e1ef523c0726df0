import assert from "node:assert/strict";
import { test } from "node:test";
import { byteLength, cut, describe, encode, MAX_BODY_BYTES, plain } from "../../src/lib/json.ts";
import { patch } from "../../src/lib/patch.ts";
import { scrubber } from "../../src/lib/scrub.ts";
import { callerFrames, describeError, topFrame, withoutOwnFrames } from "../../src/lib/stack.ts";

test("plain makes every value fit for JSON", () => {
  const cycle: any = { name: "a" };
  cycle.self = cycle;
  const check = (input: unknown, expected: unknown) => assert.deepEqual(plain(input, 1024), expected);
  check(cycle, { name: "a", self: "[circular]" });
  check({ big: 12n }, { big: "12" });
  check(new Date(0), "1970-01-01T00:00:00.000Z");
  check({ e: new TypeError("x") }, { e: "TypeError: x" });
  check({ bad: { get x() { throw new Error(); } } }, { bad: "[unreadable]" });
  check("a\uD800b\u{1F600}\uDC00", "a\uFFFDb\u{1F600}\uFFFD");
  check({ "\uDFFF": 1 }, { "\uFFFD": 1 });
  check(new Uint8Array(1e6), "[binary]");
  check([1, [2]], [1, [2]]);
  const twice = { v: 1 };
  check([twice, twice], [{ v: 1 }, { v: 1 }]);
});

test("plain is bounded in depth and number of values", () => {
  let deep: any = "bottom";
  for (let i = 0; i < 50; i++) deep = { deep };
  assert.match(JSON.stringify(plain(deep, 1024)), /truncated/);
  assert.equal((plain(Array(1e6).fill(1), 1024) as unknown[]).length, 128);
  assert.ok(Object.keys(plain(Object.fromEntries(Array(5000).entries()), 1024) as object).length <= 129);
});

test("encode stays below the limit whatever is in the value", () => {
  for (const text of ["x".repeat(300_000), "\u0001".repeat(100_000), "漢".repeat(100_000)]) {
    const event = { type: "T", message: text, stack: text, url: "u", context: { a: text, list: Array(500).fill(text) } };
    const body = encode(event);
    assert.ok(byteLength(body) <= MAX_BODY_BYTES, `${byteLength(body)}`);
    const parsed = JSON.parse(body);
    assert.equal(parsed.type, "T");
    assert.match(parsed.message, /…\[truncated\]$/);
    assert.equal(parsed.url, "u");
  }
  assert.equal(encode({ a: "short" }), '{"a":"short"}');
});

test("cut does not leave half a character", () => {
  assert.equal(cut("ab\u{1F600}", 3), "ab\uFFFD…[truncated]");
});

test("describe puts anything into words", () => {
  const check = (value: unknown, expected: string) => assert.equal(describe(value), expected);
  check("text", "text");
  check(undefined, "undefined");
  check(null, "null");
  check(Symbol("s"), "Symbol(s)");
  check({ a: 1 }, '{"a":1}');
  check({}, "[object Object]");
  check([1, { a: 1 }], '[1,{"a":1}]');
  check(Object.create(null), "[object Object]");
  check(new RangeError("r"), "RangeError: r");
  check({ toString: () => "own" }, "own");
  check(new Proxy({}, { get() { throw new Error(); }, ownKeys() { throw new Error(); } }), '"[unreadable]"');
});

test("stacks: top frame of each engine", () => {
  const check = (stack: string, expected: string) => assert.equal(topFrame(stack), expected);
  check("TypeError: format at home\n    at f (https://a/x.js:1:2)\n    at g (https://a/x.js:3:4)", "at f (https://a/x.js:1:2)");
  check("Error\n    at Array.map (<anonymous>)\n    at https://a/x.js:1:2", "at https://a/x.js:1:2");
  check("f@https://a/x.js:1:2\ng@https://a/x.js:3:4", "f@https://a/x.js:1:2");
  check("@https://unpkg.com/@scope/p@1.0/x.js:1:2", "@https://unpkg.com/@scope/p@1.0/x.js:1:2");
  check("no frames", "");
});

test("stacks: frames of the SDK are removed, others that look alike are not", () => {
  const v8 = "TypeError: Failed to fetch\n    at window.__monlight (https://a/m.js:1:2)\n    at __monlight [as fetch] (https://a/m.js:1:2)\n    at app (https://a/__monlight/x.js:3:4)";
  assert.equal(withoutOwnFrames(v8), "TypeError: Failed to fetch\n    at app (https://a/__monlight/x.js:3:4)");
  assert.equal(withoutOwnFrames("__monlight@https://a/m.js:1:2\napp@https://a/x.js:3:4"), "app@https://a/x.js:3:4");
  const site = { stack: "Error\n    at hook (m.js:1:1)\n    at __monlight (m.js:1:2)\n    at third (t.js:1:1)\n    at Console.__monlight (m.js:1:2)\n    at app (x.js:3:4)" };
  assert.equal(callerFrames(site as Error), "    at app (x.js:3:4)");
});

test("stacks: causes and aggregated errors are appended once each", () => {
  const root = Object.assign(new Error("root"), { stack: "Error: root\n    at r (r.js:1:1)" });
  const top = Object.assign(new Error("top", { cause: root }), { stack: "Error: top\n    at t (t.js:1:1)" });
  (root as any).cause = top;
  assert.equal(describeError(top, "Error").stack, "Error: top\n    at t (t.js:1:1)\nCaused by: Error: root\n    at r (r.js:1:1)");
  const many = Object.assign(new AggregateError([root, "plain text"], "all failed"), { stack: "AggregateError: all failed" });
  const { stack, type } = describeError(many, "Error");
  assert.equal(type, "AggregateError");
  assert.match(stack, /^AggregateError: all failed\nCaused by: Error: root\n.*\nCaused by: plain text\nCaused by: Error: top/);
});

test("stacks: where a browser leaves the message out of the stack, a cause still has it", () => {
  const cause = Object.assign(new RangeError("too far"), { stack: "inner@https://a/x.js:1:2" });
  const top = Object.assign(new Error("top", { cause }), { stack: "outer@https://a/x.js:3:4" });
  assert.equal(describeError(top, "Error").stack, "outer@https://a/x.js:3:4\nCaused by: RangeError: too far\ninner@https://a/x.js:1:2");
});

test("stacks: whatever is thrown is described", () => {
  const check = (value: unknown, type: string, message: string) => {
    const described = describeError(value, "Fallback");
    assert.deepEqual([described.type, described.message], [type, message]);
  };
  check("text", "Fallback", "text");
  check(undefined, "Fallback", "undefined");
  check({ code: 5 }, "Fallback", '{"code":5}');
  check({ name: "Foreign", message: "from a frame" }, "Foreign", "from a frame");
  check(new DOMException("stop", "AbortError"), "AbortError", "stop");
  check(Object.defineProperty(new Error("x"), "stack", { get() { throw 1; } }), "Error", "x");
  check(new Proxy(new Error("x"), { get() { throw 1; } }), "Fallback", '"[unreadable]"');
});

test("scrub removes the values of secret parameters", () => {
  const scrub = scrubber(["Ticket"]);
  const check = (text: string, expected: string) => assert.equal(scrub(text), expected);
  check("https://a/p?x=1&token=s%20s&y=2#f", "https://a/p?x=1&token=[redacted]&y=2#f");
  check("https://a/cb#access_token=s&state=t&z=1", "https://a/cb#access_token=[redacted]&state=t&z=1");
  check("https://a/#/reset?code=12", "https://a/#/reset?code=[redacted]");
  check("https://a/?TICKET=7&keyword=k&author=me&api-key=9", "https://a/?TICKET=[redacted]&keyword=k&author=me&api-key=[redacted]");
  check("    at f (https://a/p?key=s:10:5)\n    at g (https://a/q?key=s:1:2)", "    at f (https://a/p?key=[redacted]:10:5)\n    at g (https://a/q?key=[redacted]:1:2)");
  check('load "https://a/?password=p" failed', 'load "https://a/?password=[redacted]" failed');
  check("https://a/?ticket=ST-1&tickets=2&SAMLResponse=x&client_assertion=y", "https://a/?ticket=[redacted]&tickets=2&SAMLResponse=[redacted]&client_assertion=[redacted]");
  check("https://a/?AWSAccessKeyId=A&Expires=1&sig=b&design=c", "https://a/?AWSAccessKeyId=[redacted]&Expires=1&sig=[redacted]&design=c");
  check("https://a/?token=", "https://a/?token=[redacted]");
  check("a = b ? c : d", "a = b ? c : d");
});

test("scrub and topFrame take linear time", () => {
  const scrub = scrubber();
  const started = process.hrtime.bigint();
  for (const text of ["?".repeat(16_000), "?a=".repeat(5_000), "@".repeat(16_000), "\n".repeat(16_000), "at :1".repeat(3_000)]) {
    scrub(text);
    topFrame(text);
  }
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n);
});

test("patch restores exactly, in whatever order and with others in between", () => {
  const original = () => "original";
  const target: any = { go: original };
  const calls: string[] = [];
  const a = patch(target, "go", () => void calls.push("a"));
  const b = patch(target, "go", () => void calls.push("b"));
  assert.equal(target.go(), "original");
  assert.deepEqual(calls, ["b", "a"]);
  a();
  calls.length = 0;
  assert.equal(target.go(), "original");
  assert.deepEqual(calls, ["b"]);
  b();
  assert.equal(target.go, original);

  const c = patch(target, "go", () => void calls.push("c"));
  const ours = target.go;
  const theirs = () => `theirs+${ours()}`;
  target.go = theirs;
  c();
  calls.length = 0;
  assert.equal(target.go, theirs, "another library's wrapper is left alone");
  assert.equal(target.go(), "theirs+original");
  assert.deepEqual(calls, []);
});

test("patch calls the original with the same receiver and arguments when the hook fails", () => {
  const target: any = {
    go(...args: unknown[]) {
      return [this, ...args];
    },
  };
  patch(target, "go", () => {
    throw new Error("hook");
  });
  patch(target, "go", () => () => {
    throw new Error("after");
  });
  assert.deepEqual(target.go(1, 2), [target, 1, 2]);
  patch(undefined, "go", () => {})();
});
