import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json } from "../src/api";
import { framesText, readSymbolication, symbolicate } from "../src/symbolication";

const MINIFIED = { file: "https://shop.example/app.js", line: 1, column: 164, function: "u" };
const MAPPED = { file: "src/cart.ts", line: 25, column: 24, function: "lineTotal", source: "    return entry.offer.price * count;", minified: MINIFIED };
const UNMAPPED = { reason: "no map for file", minified: { file: "https://cdn.example/b.js", line: 1, column: 2, function: "r" } };
const extra = (frames: Json[], reason?: string): Json => ({ symbolication: { frames, ...(reason ? { reason } : {}) } });
const framesOf = (...frames: Json[]) => readSymbolication(extra(frames))!.frames;

test("a mapped frame: function, place and line of the source, with the minified place beside it", () => {
  const [frame] = framesOf(MAPPED);
  assert.deepEqual([frame?.fn, frame?.file, frame?.line, frame?.column], ["lineTotal", "src/cart.ts", 25, 24]);
  assert.equal(frame?.code, "return entry.offer.price * count;");
  assert.equal(frame?.code?.slice(...frame.mark!), "price");
  assert.deepEqual(frame?.minified, { file: "https://shop.example/app.js", line: 1, column: 164, fn: "u" });
  const { function: _, source: __, ...bare } = MAPPED;
  const [nameless] = framesOf(bare);
  assert.deepEqual([nameless?.fn, nameless?.code, nameless?.mark], ["u", null, null]);
  assert.equal(framesOf({ ...MAPPED, column: 900 })[0]?.mark, null, "a place after the part of the line that was kept");
});

test("the lines around are indented as the line of the frame, and only lines that belong to it", () => {
  const context = ["  function lineTotal(entry) {", "    check(entry);", MAPPED.source, "", "  }"];
  const [frame] = framesOf({ ...MAPPED, context, context_line: 23 });
  assert.deepEqual([frame?.before, frame?.code, frame?.after], [["function lineTotal(entry) {", "  check(entry);"], "  return entry.offer.price * count;", ["", "}"]]);
  assert.equal(frame?.code?.slice(...frame.mark!), "price");
  assert.match(framesText(symbolicate("", framesOf({ ...MAPPED, context, context_line: 23 }))), /\n {8}return entry/);
  // A context of another place, or of another form, is none.
  for (const odd of [{ context, context_line: 26 }, { context, context_line: 1 }, { context }, { context: "x", context_line: 23 }, { context: [1, 2, 3], context_line: 23 }] as Json[]) {
    const [plain] = framesOf({ ...MAPPED, ...(odd as { [key: string]: Json }) });
    assert.deepEqual([plain?.before, plain?.code, plain?.after], [[], "return entry.offer.price * count;", []], JSON.stringify(odd));
  }
});

test("a frame that was not mapped: the minified place, and why", () => {
  const [frame] = framesOf(UNMAPPED);
  assert.deepEqual([frame?.fn, frame?.file, frame?.line, frame?.column, frame?.unmapped, frame?.minified], ["r", "https://cdn.example/b.js", 1, 2, "no map for file", null]);
});

test("frames of packages count as library frames by their place in the source", () => {
  assert.deepEqual(framesOf(MAPPED, { ...MAPPED, file: "node_modules/preact/src/diff/index.js" }).map(({ lib }) => lib), [false, true]);
});

test("frames that the source map says are not of the app count as library frames", () => {
  assert.deepEqual(framesOf({ ...MAPPED, in_app: false }, { ...MAPPED, in_app: true }, { ...MAPPED, in_app: "no" }).map(({ lib }) => lib), [true, false, false]);
});

test("nothing was looked up: the reason is kept", () => {
  assert.deepEqual(readSymbolication(extra([], "the event names no release")), { frames: [], reason: "the event names no release" });
});

test("what has another form is no symbolication", () => {
  const table: (Json | undefined)[] = [undefined, null, [], "x", {}, { symbolication: null }, { symbolication: { frames: {} } }, extra([]), extra([1]), extra([{ file: "a", line: 1, column: 1 }]), extra([MAPPED, { minified: MINIFIED }]), extra([{ ...MAPPED, line: "25" }])];
  for (const value of table) assert.equal(readSymbolication(value), null, JSON.stringify(value));
});

test("frames of the text are met in order; causes and frames beyond the described ones stay", () => {
  const text = "TypeError: x\n    at price (src/cart.ts:25:24)\n    at r (https://cdn.example/b.js:1:2)\n    at far (https://shop.example/app.js:1:9)\nCaused by: RangeError: y\n    at price (src/cart.ts:25:24)";
  const raised = symbolicate(text, framesOf(MAPPED, UNMAPPED));
  assert.deepEqual(raised.map(({ title, frames }) => [title, frames.map(({ fn }) => fn)]), [["TypeError: x", ["lineTotal", "r", "far"]], ["RangeError: y", ["price"]]]);
  // A frame that the text has in a form nobody reads is not lost, and one of another text is not doubled.
  const odd = { ...MAPPED, file: "src/(app)/page.tsx" };
  assert.deepEqual(symbolicate(text, framesOf(odd, MAPPED))[0]?.frames.map(({ file }) => file).slice(0, 2), ["src/(app)/page.tsx", "src/cart.ts"]);
  assert.deepEqual(symbolicate("Error: z\n    at q (/z.js:3:4)", framesOf(MAPPED)).map(({ frames }) => frames.map(({ fn }) => fn)), [["lineTotal"]]);
  assert.equal(symbolicate(text, []).length, 2);
  assert.deepEqual(symbolicate("", []), []);
});

test("frames as text for a ticket", () => {
  const text = "TypeError: x\n    at price (src/cart.ts:25:24)\n    at r (https://cdn.example/b.js:1:2)";
  assert.equal(framesText(symbolicate(text, framesOf(MAPPED, UNMAPPED))), "TypeError: x\n    at lineTotal (src/cart.ts:25:24)\n        return entry.offer.price * count;\n    at r (b.js:1:2), not mapped: no map for file");
});
