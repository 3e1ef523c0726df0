// What a page may weigh, compressed: scripts before the first paint, and all of them together.
// Preact with signals is 8.4 kB of the first, uPlot 23.5 kB of the collector's second. The error tracker's grew with what
// people do there: search, sparklines and sorting before the first paint (1.5 kB); ignoring, undo, notes, history and the
// question before deleting behind it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { build, SERVICES, total } from "../build.mjs";

const FIRST_BUDGET = { "error-tracker": 28_000, "log-viewer": 31_000, "metrics-collector": 27_000 };
const ALL_BUDGET = { "error-tracker": 42_000, "log-viewer": 36_000, "metrics-collector": 62_000 };
const STYLE_BUDGET = 12_000;

for (const service of SERVICES) {
  test(`${service.name} stays within its budget`, async () => {
    const sizes = await build(service);
    const first = total(sizes, "gzip", (size) => size.first);
    assert.ok(first <= FIRST_BUDGET[service.name], `${first} bytes of script before the first paint, allowed are ${FIRST_BUDGET[service.name]}`);
    const all = total(sizes, "gzip", ({ name }) => name.endsWith(".js"));
    assert.ok(all <= ALL_BUDGET[service.name], `${all} bytes of script, allowed are ${ALL_BUDGET[service.name]}`);
    const style = total(sizes, "gzip", ({ name }) => name.endsWith(".css"));
    assert.ok(style <= STYLE_BUDGET, `${style} bytes of style, allowed are ${STYLE_BUDGET}`);
  });

  test(`${service.name} has no inline code and nothing of another origin in its documents`, async () => {
    const { readFile } = await import("node:fs/promises");
    const dist = new URL(`../../../${service.name}/ui/dist/`, import.meta.url);
    for (const path of ["index.html", ...service.nested]) {
      const html = await readFile(new URL(path, dist), "utf8");
      assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|(?:src|href)="(?:https?:)?\/\//);
      assert.match(html, /class=/);
    }
  });
}
