// Debug ids: what is put into bundles and maps, and that nothing else changes.
import assert from "node:assert/strict";
import { test } from "node:test";
import vm from "node:vm";
import { isStrict, trailingComment } from "../../cli/comments.ts";
import { inject, Refused } from "../../cli/inject.ts";

const ID = "0f0e0d0c-0b0a-4908-8706-050403020100";
const OTHER = "1f0e0d0c-0b0a-4908-8706-050403020100";
const MAP = JSON.stringify({ version: 3, sources: ["a.ts"], names: [], mappings: "AAAA;AACA" });

/** Injects, checks that a second run changes nothing, and runs the result. */
function injected(code: string, map = MAP) {
  const result = inject(code, map);
  assert.equal(result.changed, true);
  assert.deepEqual(inject(result.code, result.map), { ...result, changed: false });
  assert.equal(trailingComment(result.code, "debugId")?.value, result.id);
  const parsed = JSON.parse(result.map);
  assert.equal(parsed.debug_id, result.id);
  const sandbox: any = {};
  vm.runInNewContext(result.code, sandbox, { filename: "https://shop.example/app.js" });
  const notes = Object.entries(sandbox._monlightDebugIds);
  assert.equal(notes.length, 1);
  assert.match(String(notes[0]![0]).split("\n")[1]!, /https:\/\/shop\.example\/app\.js:\d+:\d+/);
  assert.equal(notes[0]![1], result.id);
  return { ...result, parsed, sandbox, lines: result.code.split("\n") };
}

test("a line of code in front, a comment at the end, and a map that is one line lower", () => {
  const { id, lines, parsed } = injected("a=1;\nb=2;\n//# sourceMappingURL=app.js.map\n");
  assert.match(id, /^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  assert.match(lines[0]!, /^!function/);
  assert.deepEqual(lines.slice(1), ["a=1;", "b=2;", `//# debugId=${id}`, "//# sourceMappingURL=app.js.map", ""]);
  assert.deepEqual(parsed, { version: 3, sources: ["a.ts"], names: [], mappings: ";AAAA;AACA", debug_id: id });
  assert.equal(injected("a=1;\r\nb=2").code.split(/\r?\n/).length, 5);
  assert.equal(injected("a=1;//# sourceMappingURL=app.js.map").lines[2]!.slice(0, 12), "//# debugId=");
});

test("the id is that of the contents", () => {
  const { id } = inject("a=1", MAP);
  assert.equal(inject("a=1", MAP).id, id);
  assert.notEqual(inject("a=2", MAP).id, id);
  assert.notEqual(inject("a=1", MAP.replace("a.ts", "b.ts")).id, id);
});

test("a strict bundle stays strict and a sloppy one sloppy", () => {
  const probe = ";globalThis.strict=function(){return this===undefined}()";
  const check = (prologue: string, strict: boolean) => {
    assert.equal(isStrict(prologue + probe), strict, prologue);
    assert.equal(injected(prologue + probe).sandbox.strict, strict, prologue);
  };
  check(`"use strict"`, true);
  check(`/*! licence\n */\n// x\n'use strict'\n`, true);
  check(`"use client";"use strict";`, true);
  check(`#!/usr/bin/env node\n"use strict";`, true);
  check(`"a \\" b"\n"use strict"\nvar x = 1`, true);
  check(`"use strict"\n++globalThis.n`, true);
  check(`x="use strict"`, false);
  check(`"use strict"\n.length`, false);
  check(`"use strict" + 1`, false);
  check(`"use strict"\nin {}`, false);
  check(`"use\\x20strict"`, false);
  check(`;"use strict"`, false);
});

test("what must be first stays first", () => {
  const { lines, parsed } = injected("#!/usr/bin/env node\na=1;\n");
  assert.equal(lines[0], "#!/usr/bin/env node");
  assert.match(lines[1]!, /^!function/);
  assert.equal(lines[2], "a=1;");
  assert.equal(parsed.mappings, "AAAA;;AACA");
  const one = injected("#!/usr/bin/env node", MAP.replace(";AACA", ""));
  assert.match(one.lines[1]!, /^!function/);
  assert.equal(one.parsed.mappings, "AAAA");
  const marked = inject("\uFEFFa=1;", MAP);
  assert.match(marked.code, /^\uFEFF!function/);
});

test("index maps and mappings of ranges move as well", () => {
  const inner = { version: 3, sources: ["a.ts"], names: [], mappings: "AAAA;AACA" };
  const sections = (lines: number[]) => lines.map((line) => ({ offset: { line, column: 7 }, map: inner }));
  const map = JSON.stringify({ version: 3, sections: sections([0, 0, 3]) });
  assert.deepEqual(injected("a=1;", map).parsed.sections, sections([1, 1, 4]));
  const bang = injected("#!x\na=1;", map).parsed.sections;
  assert.deepEqual(bang.map((section: any) => section.offset.line), [0, 0, 4]);
  assert.deepEqual(bang.map((section: any) => section.map.mappings), ["AAAA;;AACA", "AAAA;;AACA", "AAAA;AACA"]);
  const ranges = JSON.stringify({ ...inner, rangeMappings: "A;B" });
  assert.equal(injected("a=1;", ranges).parsed.rangeMappings, ";A;B");
});

test("ids of other tools are kept", () => {
  const named = `a=1;\n//# debugId=${ID}\n`;
  for (const field of ["debug_id", "debugId"]) {
    const result = injected(named, JSON.stringify({ ...JSON.parse(MAP), [field]: ID.toUpperCase() }));
    assert.equal(result.id, ID);
    assert.equal(result.code.match(/debugId=/g)!.length, 1);
  }
  assert.equal(injected(named).id, ID);
});

test("what does not belong together is refused", () => {
  const check = (code: string, map: string, why: RegExp) =>
    assert.throws(() => inject(code, map), (fault) => fault instanceof Refused && why.test(fault.message), String(why));
  const withId = (id: string) => JSON.stringify({ ...JSON.parse(MAP), debug_id: id });
  check(`a=1;\n//# debugId=${ID}`, withId(OTHER), /of another build \(debug id 1f0e.*, that of the bundle 0f0e.*build again/);
  check("a=1;", withId(ID), /of another build .*that of the bundle none/);
  const before = inject("a=1;", MAP);
  check(before.code, MAP, /of another build \(debug id none/);
  check("a=1;", before.map, /of another build/);
  check("a=1;\n//# debugId=one", MAP, /debug id of the bundle is no UUID/);
  check("a=1;", "nothing", /its map is no JSON: /);
  check("a=1;", "[]", /no source map of version 3/);
  check("a=1;", `{"version":2,"mappings":""}`, /no source map of version 3/);
  check("a=1;", `{"version":3}`, /neither mappings nor well-formed sections/);
  check("a=1;", `{"version":3,"sections":[{"offset":{"line":-1},"map":{"mappings":""}}]}`, /well-formed sections/);
});

test("a guard in front of a map is passed over", () => {
  assert.equal(JSON.parse(inject("a=1;", `)]}'\n${MAP}`).map).version, 3);
});

test("comments count at the end only", () => {
  const check = (code: string, expected: string | undefined) =>
    assert.equal(trailingComment(code, "sourceMappingURL")?.value, expected, code);
  check("a;\n//# sourceMappingURL=a.map", "a.map");
  check("a;//@ sourceMappingURL=a.map  \r\n\n", "a.map");
  check("//# sourceMappingURL=a.map\n//# sourceMappingURL=b.map\n// end /* */\n/* end\n*/", "b.map");
  check("//# sourceMappingURL=a.map\nb;", undefined);
  check('x="//# sourceMappingURL="+y', undefined);
  check("sourceMappingURL=a.map", undefined);
  check("// sourceMappingURL=a.map", undefined);
  check("", undefined);
});

test("a bundle of several megabytes is no trouble", () => {
  const code = `"use strict";${"x=1;\n".repeat(1_000_000)}${" ".repeat(1_000_000)}//# sourceMappingURL=a.map\n`;
  const result = inject(code, MAP);
  assert.equal(inject(result.code, result.map).changed, false);
});
