// What a page may weigh: scripts before the first paint, compressed. Charts bring uPlot.
import assert from "node:assert/strict";
import { test } from "node:test";
import { build, SERVICES, total } from "../build.mjs";

const BUDGET = { "error-tracker": 20_000, "log-viewer": 20_000, "metrics-collector": 45_000 };
const STYLE_BUDGET = 12_000;

for (const service of SERVICES) {
  test(`${service.name} stays within its budget`, async () => {
    const sizes = await build(service);
    const first = total(sizes, "gzip", (size) => size.first);
    assert.ok(first <= BUDGET[service.name], `${first} bytes of script before the first paint, allowed are ${BUDGET[service.name]}`);
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
