import assert from "node:assert/strict";
import { test } from "node:test";
import { foldFrames, packageOf, parseTraceback, shortFile } from "../src/traceback";

const PYTHON = `Traceback (most recent call last):
  File "/usr/lib/python3.13/site-packages/starlette/routing.py", line 712, in __call__
    await self.middleware_stack(scope, receive, send)
  File "/usr/lib/python3.13/site-packages/starlette/routing.py", line 288, in handle
    await self.app(scope, receive, send)
  File "/app/app/orders/routes.py", line 71, in availability
    async with db.acquire() as conn:
               ~~~~~~~~~~^^
  File "<string>", line 1, in <module>
psycopg.OperationalError: too many clients
`;

test("Python: the innermost frame first, with its code and its mark", () => {
  const [raised, ...others] = parseTraceback(PYTHON);
  assert.equal(others.length, 0);
  assert.equal(raised?.title, "psycopg.OperationalError: too many clients");
  assert.deepEqual(raised?.frames.map(({ fn, line, lib }) => [fn, line, lib]), [["<module>", 1, false], ["availability", 71, false], ["handle", 288, true], ["__call__", 712, true]]);
  const frame = raised?.frames[1];
  assert.equal(frame?.code, "async with db.acquire() as conn:");
  assert.deepEqual(frame?.mark, [21, 23]);
  assert.equal(frame?.code?.slice(...frame.mark!), "()");
  assert.equal(raised?.frames[0]?.code, null);
});

test("Python: chained exceptions, the one that was reported first", () => {
  const chained = `Traceback (most recent call last):
  File "a.py", line 1, in a
    x()
KeyError: 'price'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in b
    y()
ValueError: no price

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "c.py", line 3, in c
    z()
RuntimeError: gave up
`;
  assert.deepEqual(parseTraceback(chained).map(({ title, link, frames }) => [title, link, frames[0]?.fn]), [
    ["RuntimeError: gave up", null, "c"],
    ["ValueError: no price", "while handling", "b"],
    ["KeyError: 'price'", "caused by", "a"],
  ]);
});

test("JavaScript: V8, Firefox and Safari", () => {
  const v8 = parseTraceback(`TypeError: Cannot read properties of undefined (reading 'price')
    at lineTotal (https://shop.example/src/cart/total.ts:41:28)
    at Array.map (<anonymous>)
    at async Promise.all (index 0)
    at https://shop.example/app.js:1:48213
    at async Object.render (/srv/node_modules/preact/dist/preact.js:1:4213)`);
  assert.equal(v8[0]?.title, "TypeError: Cannot read properties of undefined (reading 'price')");
  assert.deepEqual(v8[0]?.frames.map(({ fn, file, line, column, lib }) => [fn, shortFile(file), line, column, lib]), [
    ["lineTotal", "src/cart/total.ts", 41, 28, false],
    ["<anonymous>", "app.js", 1, 48213, false],
    ["Object.render", "/srv/node_modules/preact/dist/preact.js", 1, 4213, true],
  ]);
  const gecko = parseTraceback("lineTotal@https://shop.example/app.js:41:28\n@https://shop.example/app.js:1:2\n");
  assert.deepEqual(gecko[0]?.frames.map(({ fn, line }) => [fn, line]), [["lineTotal", 41], ["<anonymous>", 1]]);
});

test("what is no traceback has no frames", () => {
  for (const text of ["", "something went wrong", "java.lang.NullPointerException\n\tat com.example.Main.run(Main.java:12)"]) assert.deepEqual(parseTraceback(text), [], text);
});

test("runs of one library are folded, unless there is nothing else", () => {
  const frames = parseTraceback(PYTHON)[0]!.frames;
  assert.deepEqual(foldFrames(frames).map((row) => (row.kind === "lib" ? `${row.frames.length} in ${row.of}` : row.frame.fn)), ["<module>", "availability", "2 in starlette"]);
  assert.deepEqual(foldFrames(frames.filter(({ lib }) => lib)).map(({ kind }) => kind), ["frame", "frame"]);
});

test("frames of the SDK's own middleware are folded", () => {
  const frames = parseTraceback(`Traceback (most recent call last):
  File "/srv/sdks/python/src/monlight/integrations/fastapi.py", line 88, in __call__
    await self.app(scope, receive, send)
  File "/app/shop/orders.py", line 71, in pay
    raise ValueError("x")
ValueError: x`)[0]!.frames;
  assert.deepEqual(foldFrames(frames).map((row) => (row.kind === "lib" ? `${row.frames.length} in ${row.of}` : row.frame.fn)), ["pay", "1 in monlight"]);
});

test("the package of a file", () => {
  const table: [string, string][] = [
    ["/x/site-packages/fastapi/routing.py", "fastapi"], ["/x/site-packages/six.py", "six"], ["/x/node_modules/@scope/name/a.js", "@scope/name"], ["node_modules/preact/src/diff/index.js", "preact"], ["node:internal/timers", "node"], ["/usr/lib/python3.13/json/decoder.py", "python"], ["<frozen importlib._bootstrap>", "python"],
  ];
  for (const [file, expected] of table) assert.equal(packageOf(file), expected, file);
});

test("a long line of nothing is read in linear time", () => {
  const started = performance.now();
  parseTraceback(`    at ${"a ".repeat(100_000)}`);
  parseTraceback(`${" ".repeat(100_000)}x`);
  parseTraceback(`File "${"a".repeat(100_000)}`);
  assert.ok(performance.now() - started < 1000);
});
