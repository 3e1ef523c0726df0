import assert from "node:assert/strict";
import { test } from "node:test";
import { apiUrl } from "@kit/api";
import { below, withQuery } from "@kit/url";

test("what lies below the root", () => {
  const table: [string, string, string][] = [
    ["/", "/", ""], ["/index.html", "/", ""], ["/errors/5", "/", "errors/5"], ["/monitor/errors/", "/monitor/errors/", ""], ["/monitor/errors/errors/5", "/monitor/errors/", "errors/5"], ["/elsewhere", "/monitor/", ""],
  ];
  for (const [path, root, expected] of table) assert.equal(below(path, root), expected, path);
});

test("only what differs from the default is in the URL", () => {
  assert.equal(withQuery("a=1&b=2", { a: null, c: "x y" }), "b=2&c=x+y");
  assert.equal(withQuery("a=1", { a: "" }), "");
  assert.equal(withQuery("", { range: "2026-11-22T13:00:00.000Z..2026-11-22T13:30:00.000Z" }), "range=2026-11-22T13:00:00.000Z..2026-11-22T13:30:00.000Z");
  assert.equal(new URLSearchParams(withQuery("", { q: "a&b=c/d,e:f#g" })).get("q"), "a&b=c/d,e:f#g");
});

test("API addresses stay below the root of a proxy", () => {
  const base = new URL("https://host/monitor/logs/");
  assert.equal(apiUrl("api/logs", { level: ">=ERROR", search: "", limit: 500, until: undefined }, base), "https://host/monitor/logs/api/logs?level=%3E%3DERROR&limit=500");
});
