import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertClean, assertNoSidewaysScroll, checkLooks, openPage, startBrowser, startService } from "./harness.mjs";

let service;
let browser;
let sources;
const IDS = { "shop-api": "a".repeat(64), worker: "b".repeat(64) };

/** Writes lines as Docker's json-file driver does. */
function write(container, lines, { stream = "stdout", before: ago = 0, step = 10 } = {}) {
  const id = IDS[container];
  const start = Date.now() - ago;
  const text = lines.map((log, at) => JSON.stringify({ log: `${log}\n`, stream, time: new Date(start + at * step).toISOString().replace("Z", "000000Z") })).join("\n");
  appendFileSync(join(sources, id, `${id}-json.log`), `${text}\n`);
}

async function untilIndexed(n) {
  const limit = Date.now() + 30_000;
  for (;;) {
    const { total_logs: total } = await service.api("/api/stats");
    if (total >= n) return;
    assert.ok(Date.now() < limit, `only ${total} of ${n} lines were indexed`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

before(async () => {
  service = await startService("log-viewer", (data) => {
    sources = join(data, "containers");
    for (const [name, id] of Object.entries(IDS)) {
      mkdirSync(join(sources, id), { recursive: true });
      writeFileSync(join(sources, id, "config.v2.json"), JSON.stringify({ ID: id, Name: `/${name}` }));
      writeFileSync(join(sources, id, `${id}-json.log`), "");
    }
    return { LOG_SOURCES: sources, CONTAINERS: "*", POLL_INTERVAL: "1", TAIL_BUFFER: "10000000" };
  });
  browser = await startBrowser();
  write("shop-api", Array.from({ length: 1200 }, (_, at) => `INFO request ${at} handled method=GET status=200`), { before: 60_000 });
  write("worker", ["\u001b[32mINFO\u001b[0m colours <img src=x onerror=window.__broken=1> stay text", '{"level":"warning","msg":"pool nearly empty","waiting":7}', "ERROR receipt 48213 not sent", "Traceback (most recent call last):", '  File "/app/mail.py", line 71, in send', "    raise TimeoutError", "TimeoutError: timed out"], { before: 40_000 });
  await untilIndexed(1203);
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

const lines = (page, text) => page.locator(".log", { hasText: text });

test("the newest lines at the bottom, and new ones as they are written", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(service.url);
  await lines(page, "receipt 48213").waitFor();
  await page.getByRole("button", { name: "Live", exact: true }).waitFor();
  write("worker", ["INFO just written"]);
  await lines(page, "just written").waitFor();
  const atEnd = await page.evaluate(() => {
    const box = document.querySelector(".log-scroll");
    return box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
  });
  assert.equal(atEnd, true, "the page follows the newest line");
  assertClean(faults);
  await close();
});

test("scrolling up pauses: nothing moves, new lines are counted, older ones are loaded", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(service.url);
  await lines(page, "just written").waitFor();
  await page.locator(".log-scroll").hover();
  await page.mouse.wheel(0, -1500);
  await page.getByText("Paused").waitFor();
  const seen = () => page.evaluate(() => {
    const top = document.querySelector(".log-scroll").getBoundingClientRect().top;
    const row = [...document.querySelectorAll(".log")].find((element) => element.getBoundingClientRect().top >= top);
    return [row.dataset.row, Math.round(row.getBoundingClientRect().top)];
  });
  const before = await seen();
  write("worker", ["INFO while paused 1", "INFO while paused 2"]);
  await page.getByRole("button", { name: "2 new lines" }).waitFor();
  assert.deepEqual(await seen(), before, "the rows stay where they are");
  // To the start again and again: the pages before it come, until the first line of all.
  for (let turn = 0; turn < 40 && (await lines(page, /request 0 handled/).count()) === 0; turn += 1) {
    await page.mouse.wheel(0, -20_000);
    await page.waitForTimeout(100);
  }
  await lines(page, /request 0 handled/).waitFor();
  await page.keyboard.press("End");
  await lines(page, "while paused 2").waitFor();
  await page.getByRole("button", { name: "Live", exact: true }).waitFor();
  assertClean(faults);
  await close();
});

test("search, level and container are in the URL and filter the tail too", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(service.url);
  await lines(page, "while paused 2").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("receipt");
  await page.waitForFunction(() => location.search === "?q=receipt");
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 1);
  assert.equal(await page.locator("mark").first().innerText(), "receipt");
  write("shop-api", ["INFO nothing of this kind", "WARNING another receipt waits"]);
  await lines(page, "another receipt").waitFor();
  assert.equal(await lines(page, "nothing of this kind").count(), 0);
  await page.getByRole("button", { name: "Level" }).click();
  await page.getByRole("button", { name: "Error and above" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 1);
  assert.match(page.url(), /level=%3E%3DERROR/);
  await page.goto(`${service.url}/?container=worker`);
  await lines(page, "while paused 2").waitFor();
  assert.equal(await lines(page, "handled").count(), 0);
  assertClean(faults);
  await close();
});

test("a search that has quotes and brackets of its own is no fault", async () => {
  const { page, faults, close } = await openPage(browser, service);
  for (const text of ['"', "((", "user@example.com", "*", "a AND", "-"]) {
    await page.goto(`${service.url}/?q=${encodeURIComponent(text)}`);
    await page.locator(".log, .empty, .search-fault").first().waitFor();
  }
  assertClean(faults);
  await close();
});

test("highlight shows all lines and walks the hits by key", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?q=receipt&mode=highlight`);
  await page.getByText("2 hits").waitFor();
  await page.keyboard.press("Shift+N");
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("another receipt"));
  await page.keyboard.press("Shift+N");
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("receipt 48213"));
  await page.keyboard.press("n");
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("another receipt"));
  assertClean(faults);
  await close();
});

test("a line opens in place: all of it, its fields as filters, what was around it", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?container=worker`);
  const failed = lines(page, "receipt 48213");
  await failed.waitFor();
  await failed.getByText("+4 lines").waitFor();
  await failed.getByRole("button").first().click();
  await failed.getByLabel("The whole message").getByText("TimeoutError: timed out").waitFor();
  const last = page.locator(".log").last();
  await last.getByRole("button").first().click();
  await page.waitForFunction(() => {
    const open = document.querySelector(".log.open");
    return open?.querySelector(".log-detail") && open.getBoundingClientRect().bottom <= document.querySelector(".log-scroll").getBoundingClientRect().bottom + 1;
  });
  await page.keyboard.press("Escape");
  const pool = lines(page, "pool nearly empty");
  assert.match(await pool.innerText(), /pool nearly empty\s+waiting=7/);
  await pool.getByRole("button").first().click();
  await pool.getByRole("button", { name: "Around it" }).click();
  await lines(page, "handled").first().waitFor();
  await pool.getByLabel("The whole message").waitFor();
  assert.match(page.url(), /range=.*&line=\d+/);
  assert.equal(await page.evaluate(() => window.__broken), undefined);
  assertClean(faults);
  await close();
});

test("what stood around a line is shown below it, of its container or of all", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?q=receipt`);
  const failed = lines(page, "receipt 48213");
  await failed.getByRole("button").first().click();
  await failed.getByRole("button", { name: "Context" }).click();
  const near = failed.getByRole("region", { name: "Context" });
  const own = near.locator("[aria-current]");
  await own.getByText("receipt 48213").waitFor();
  await near.getByText("pool nearly empty").waitFor();
  assert.equal(await near.getByText("handled").count(), 0);
  await near.getByRole("button", { name: "All containers" }).click();
  await near.getByText("handled").first().waitFor();
  assert.equal(await own.evaluate((line) => [...line.parentElement.children].indexOf(line)), 20, "lines before it");
  const seen = await own.evaluate((line) => {
    const [inner, outer] = [line.getBoundingClientRect(), line.parentElement.getBoundingClientRect()];
    return inner.top >= outer.top - 1 && inner.top < outer.bottom;
  });
  assert.equal(seen, true, "the line itself is in view");
  assert.match(page.url(), /\?q=receipt$/, "the filters stay");
  assertClean(faults);
  await close();
});

test("a field is a filter", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?container=worker`);
  const pool = lines(page, "pool nearly empty");
  await pool.getByRole("button").first().click();
  await pool.getByRole("button", { name: "7", exact: true }).click();
  await page.waitForFunction(() => new URLSearchParams(location.search).get("q") === "waiting:7");
  await page.waitForFunction(() => document.querySelectorAll(".log").length === 1);
  await pool.waitFor();
  assertClean(faults);
  await close();
});

test("bars are clicked and dragged over to narrow the time", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?container=shop-api&range=15m`);
  await lines(page, "handled").first().waitFor();
  const bars = page.locator(".strip-pick");
  await bars.waitFor();
  const box = await bars.boundingBox();
  const counted = async () => Number((await page.locator(".strip-head b").innerText()).replace(/\D/g, ""));
  const before = await counted();
  const [from, to] = [box.x + box.width * 0.02, box.x + box.width * 0.6];
  await page.mouse.move(from, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(to, box.y + 20, { steps: 5 });
  assert.ok((await bars.locator("i").boundingBox()).width > box.width / 2, "what is chosen is marked");
  await page.mouse.up();
  await page.waitForFunction(() => /\.\./.test(new URLSearchParams(location.search).get("range") ?? ""));
  const [since, until] = new URL(page.url()).searchParams.get("range").split("..").map((time) => Date.parse(time));
  assert.ok(Math.abs(until - since - 0.58 * 900_000) < 30_000, `${since} to ${until}`);
  await page.goBack();
  await page.waitForFunction(() => new URLSearchParams(location.search).get("range") === "15m");
  // A click takes a single bar: one ninetieth of the time.
  await lines(page, "handled").first().waitFor();
  await bars.click({ position: { x: box.width * 0.945, y: 20 } });
  await page.waitForFunction(() => /\.\./.test(new URLSearchParams(location.search).get("range") ?? ""));
  const one = new URL(page.url()).searchParams.get("range").split("..").map((time) => Date.parse(time));
  assert.ok(one[1] - one[0] <= 15_000, `${one}`);
  await page.waitForFunction((many) => Number(document.querySelector(".strip-head b")?.textContent.replace(/\D/g, "") ?? 0) < many, before);
  assertClean(faults);
  await close();
});

test("a line opens on a phone without making the page wider", async () => {
  const { page, faults, close } = await openPage(browser, service, { phone: true });
  await page.goto(`${service.url}/?container=worker`);
  const failed = lines(page, "receipt 48213");
  await failed.getByRole("button").first().tap();
  await failed.getByLabel("The whole message").waitFor();
  await assertNoSidewaysScroll(page, "an open line");
  await failed.getByRole("button", { name: "Context" }).tap();
  await failed.locator("[aria-current]").waitFor();
  await assertNoSidewaysScroll(page, "an open line with its context");
  assertClean(faults);
  await close();
});

test("looks: lines, an open one, none", async () => {
  await checkLooks(browser, service, "/", "logs", (page) => page.locator(".log").first().waitFor());
  await checkLooks(browser, service, "/?q=receipt&mode=highlight&wrap=1", "logs-highlight", async (page) => {
    const row = page.locator(".log", { hasText: "another receipt" });
    await row.getByRole("button").first().click();
    await row.getByLabel("The whole message").waitFor();
  });
  await checkLooks(browser, service, "/?q=receipt", "logs-context", async (page) => {
    const row = page.locator(".log", { hasText: "receipt 48213" });
    await row.getByRole("button").first().click();
    await row.getByRole("button", { name: "Context" }).click();
    await row.getByRole("button", { name: "All containers" }).click();
    await row.getByText("handled").first().waitFor();
  });
  await checkLooks(browser, service, "/?q=nowhere-to-be-found", "logs-empty", (page) => page.getByText("Nothing matches these filters.").waitFor());
});
