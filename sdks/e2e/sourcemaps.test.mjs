// Source maps from the build to the tracker: the command that uploads them, what the relay reads in them, and a real
// browser whose errors are found by debug id.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";

import { buildAll } from "./maps/builds.mjs";
import { anyPlaces, Lookups, mappedPlaces, random } from "./maps/lookups.mjs";
import { buildShop, serveShop } from "./shop/server.mjs";
import { ADMIN_KEY, CHROMIUM, CHROMIUM_ARGS, DSN, PROJECT, ROOT, Stack, eventually } from "./stack.mjs";

const COMMAND = join(ROOT, "sdks/javascript/dist/sourcemaps.mjs");
/** Of the larger maps this many mapped places are asked for, of the others all. */
const MOST_MAPPED = 4000;
/** Of one large map, all are. */
const WHOLE = "terser/lodash.js";
const ANY = 1500;

const sourceLine = (text) => {
  const lines = readFileSync(join(ROOT, "sdks/e2e/shop/cart.ts"), "utf8").split("\n");
  return lines.findIndex((line) => line.includes(text)) + 1;
};

describe("source maps", () => {
  const stack = new Stack();
  const folder = mkdtempSync(join(tmpdir(), "monlight-maps-"));
  const dist = join(folder, "dist");
  const original = join(folder, "original");
  /** Paths of the bundles below `dist`. */
  let bundles;
  let lookups;
  let browser;

  /** Runs the command as a build does; answers what it wrote to standard output. */
  async function command(...args) {
    const child = spawn(process.execPath, [COMMAND, "upload", "--url", stack.url("browser-relay"), "--project", PROJECT, ...args], {
      env: { MONLIGHT_API_KEY: ADMIN_KEY },
    });
    let out = "";
    let err = "";
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    const status = await new Promise((ended) => child.on("close", ended));
    assert.equal(status, 0, `${out}\n${err}`);
    return out;
  }

  async function uploadMap(map, file) {
    const body = { project: "lookups", release: "1", file_url: file, map_content: map };
    const answer = await stack.post("browser-relay", "/api/source-maps", body);
    assert.equal(answer.status, 201, await answer.text());
    const { source_maps } = await stack.get("browser-relay", "/api/source-maps?project=lookups");
    return source_maps.find((listed) => listed.file_url === file).id;
  }

  const maps = async () => (await stack.get("browser-relay", `/api/source-maps?project=${PROJECT}`)).source_maps;

  before(async () => {
    await stack.start();
    lookups = new Lookups(stack);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
    mkdirSync(dist);
    await buildAll(dist);
    cpSync(dist, original, { recursive: true });
    bundles = readdirSync(dist, { recursive: true }).filter((path) => path.endsWith(".js")).sort();
  });
  after(async () => {
    await browser?.close();
    lookups?.close();
    await stack.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("maps of esbuild, terser and webpack are given debug ids and uploaded; again, nothing changes", async () => {
    assert.ok(bundles.length >= 10, bundles.join());
    const args = ["--release", "2026.11", "--url-prefix", "https://shop.example/assets/", "--strict", dist];
    const said = await command(...args);
    assert.match(said, new RegExp(`^${PROJECT}, release 2026\\.11: ${bundles.length} uploaded\\.$`, "m"));
    const listed = await maps();
    assert.deepEqual(listed.map(({ file_url }) => file_url).sort(), bundles.map((path) => `https://shop.example/assets/${path}`).sort());
    for (const { file_url, debug_id } of listed) {
      const code = readFileSync(join(dist, file_url.slice("https://shop.example/assets/".length)), "utf8");
      assert.ok(code.includes(`\n//# debugId=${debug_id}\n`), `${file_url} has not the id ${debug_id}`);
    }
    const again = await command(...args);
    assert.equal(again.match(/^unchanged /gm).length, bundles.length);
    assert.deepEqual((await maps()).map(({ uploaded_at, ...map }) => map), listed.map(({ uploaded_at, ...map }) => map));
  });

  test("every place is where Mozilla's package finds it", async (t) => {
    const ids = new Map((await maps()).map(({ id, file_url }) => [file_url.slice("https://shop.example/assets/".length), id]));
    const below = random(20_261_122);
    let asked = 0;
    let mapped = 0;
    for (const path of bundles) {
      const map = readFileSync(join(original, `${path}.map`), "utf8");
      const code = readFileSync(join(original, path), "utf8");
      const places = [
        ...(await mappedPlaces(map, path === WHOLE ? Infinity : MOST_MAPPED, below)),
        ...anyPlaces(code, ANY, below),
      ];
      asked += places.length;
      // What was uploaded is one line lower than what the bundler wrote.
      mapped += await lookups.compare(ids.get(path), map, places, 1);
    }
    t.diagnostic(`${asked} places, ${mapped} of them mapped`);
    assert.ok(mapped > 40_000, `only ${mapped} of ${asked} places are mapped`);
  });

  test("index maps and source roots are read as Mozilla's package reads them", async () => {
    const below = random(7);
    const read = (path) => JSON.parse(readFileSync(join(original, `${path}.map`), "utf8"));
    const code = readFileSync(join(original, "esbuild/preact.js"), "utf8");
    const first = read("esbuild/preact.js");
    const second = { ...read("webpack/preact.js"), sourceRoot: "webpack://shop" };
    const lines = code.split("\n").length;
    const sections = JSON.stringify({
      version: 3,
      sections: [
        { offset: { line: 2, column: 40 }, map: first },
        { offset: { line: lines + 2, column: 0 }, map: second },
        { offset: { line: lines + 9, column: 5 }, map: read("terser/preact.js") },
      ],
    });
    const text = `\n\n${" ".repeat(40)}${code}\n${readFileSync(join(original, "webpack/preact.js"), "utf8")}`;
    const places = [...(await mappedPlaces(sections, Infinity, below)), ...anyPlaces(text, ANY, below)];
    assert.ok((await lookups.compare(await uploadMap(sections, "/sections.js"), sections, places)) > 5000);

    for (const sourceRoot of ["https://shop.example/src", "/src/", "webpack://shop/", "src", ""]) {
      const rooted = JSON.stringify({ ...first, sources: first.sources.map((_, n) => `lib/${n}.js`), sourceRoot });
      const some = await mappedPlaces(rooted, 300, below);
      assert.ok((await lookups.compare(await uploadMap(rooted, `/root${sourceRoot}.js`), rooted, some)) > 250, sourceRoot);
    }
  });

  test("bundles with a debug id run as before, and note it", async () => {
    const shop = await serveShop({ folder: dist, config: { dsn: DSN, endpoint: stack.url("browser-relay") } });
    const page = await browser.newPage();
    const faults = [];
    page.on("pageerror", (fault) => faults.push(fault.stack));
    try {
      const scripts = [
        ...["lodash", "preact", "react", "zod"].map((name) => `<script type="module" src="/assets/esbuild/${name}.js"></script>`),
        ...["lodash", "preact"].map((name) => `<script src="/assets/terser/${name}.js"></script>`),
        ...bundles.filter((path) => path.startsWith("webpack/")).map((path) => `<script src="/assets/${path}"></script>`),
      ];
      shop.pages.set("/all", `<!doctype html><title>All</title><div id="one"></div><div id="two"></div>${scripts.join("")}`);
      await page.goto(`${shop.origin}/all`);
      const counted = await page.evaluate(async () => {
        const [one, two] = ["one", "two"].map((id) => document.getElementById(id));
        globalThis.startPreact(one);
        globalThis.startReact(two);
        const shown = async (root, text) => {
          while (root.textContent !== text) await new Promise(requestAnimationFrame);
        };
        await shown(one, "1");
        await shown(two, "1");
        one.firstChild.click();
        two.firstChild.click();
        await shown(one, "2");
        await shown(two, "2");
        return [globalThis.lodash.chunk([1, 2, 3], 2).length, globalThis.schema.safeParse({ name: "tea", price: 4 }).success];
      });
      assert.deepEqual(counted, [2, true]);
      const notes = await page.evaluate(() => Object.entries(globalThis._monlightDebugIds));
      const noted = notes.map(([trace, id]) => [new URL(/http\S+?(?=:\d+:\d+\)?$)/m.exec(trace)[0]).pathname, id]);
      const listed = (await maps()).map(({ file_url, debug_id }) => [new URL(file_url).pathname, debug_id]);
      assert.deepEqual(noted.sort(), listed.sort());
      assert.deepEqual(faults, []);
    } finally {
      await page.close();
      await shop.close();
    }
  });

  for (const [kind, options] of [["a script", {}], ["modules in chunks", { modules: true }]]) {
    test(`an error of ${kind} without a release arrives readable, by debug id`, async () => {
      const built = mkdtempSync(join(folder, "shop-"));
      const entry = await buildShop(built, options);
      await command(built);
      // Maps are not published, and nothing but the debug id tells whose they are.
      for (const name of readdirSync(built)) if (name.endsWith(".map")) rmSync(join(built, name));
      const shop = await serveShop({ folder: built, entry, config: { dsn: DSN, endpoint: stack.url("browser-relay") }, ...options });
      const page = await browser.newPage();
      try {
        await page.goto(`${shop.origin}/shop/42`);
        await page.click("#pay");
        const place = `cart.ts:${sourceLine("fails for an item without an offer")}:`;
        const detail = await eventually("the error in the tracker", async () => {
          const { errors } = await stack.get("error-tracker", `/api/errors?project=${PROJECT}&source=browser`);
          const details = await Promise.all(errors.map(({ id }) => stack.get("error-tracker", `/api/errors/${id}`)));
          return details.find(({ occurrences }) => occurrences.some(({ request_url }) => request_url?.startsWith(shop.origin)));
        });
        assert.equal(detail.exception_type, "TypeError");
        const [occurrence] = detail.occurrences.filter(({ request_url }) => request_url?.startsWith(shop.origin));
        assert.equal(occurrence.extra.release, undefined);
        const { frames } = occurrence.extra.symbolication;
        assert.deepEqual(frames.slice(0, 2).map((frame) => frame.function), ["lineTotal", "cartTotal"], JSON.stringify(frames));
        assert.ok(frames[0].file.endsWith("cart.ts") && place.includes(`:${frames[0].line}:`), JSON.stringify(frames[0]));
        assert.match(frames[0].source, /return offer\.price \* count/);
        assert.ok(occurrence.traceback ? occurrence.traceback.includes(place) : detail.traceback.includes(place), detail.traceback);
      } finally {
        await page.close();
        await shop.close();
      }
    });
  }
});
