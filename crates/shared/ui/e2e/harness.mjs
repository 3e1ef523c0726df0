/** Starts a service with an empty database on a free port, a browser, and checks what every page must keep. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const KEY = "e2e-key-0123456789abcdef";
export const SHOTS = join(here, "shots");
const START_LIMIT = 20_000;
/** Makes the browser so many times slower: `SLOW=10 npm run e2e` finds what only fails on a busy machine. */
const SLOW = Number(process.env.SLOW ?? 1);

export function binary(name) {
  const folder = process.env.BIN_DIR ? resolve(process.env.BIN_DIR) : join(here, "..", "..", "..", "..", "target", "debug");
  return join(folder, name);
}

/** Starts a service. `env` is added to what every service needs; a function gets the data folder. */
export async function startService(name, env = {}) {
  const data = mkdtempSync(join(tmpdir(), `monlight-e2e-${name}-`));
  const child = spawn(binary(name), [], {
    cwd: data,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      HOST: "127.0.0.1",
      PORT: "0",
      API_KEY: KEY,
      DATABASE_PATH: join(data, "data.db"),
      LOG_LEVEL: "info",
      ...(typeof env === "function" ? env(data) : env),
    },
  });
  let said = "";
  const port = await new Promise((found, failed) => {
    const timer = setTimeout(() => failed(new Error(`${name} did not say where it listens:\n${said}`)), START_LIMIT);
    const hear = (chunk) => {
      said += chunk;
      // Colours of a log line may stand between the words.
      const place = /listening on[^\d]*(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)/.exec(said.replace(/\u001b\[[0-9;]*m/g, ""));
      if (!place) return;
      clearTimeout(timer);
      found(Number(place[1]));
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("exit", (status) => failed(new Error(`${name} ended with ${status}:\n${said}`)));
  });
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    data,
    log: () => said,
    /** A request with the key; answers the parsed body and throws on a refusal. */
    async api(path, init = {}) {
      const answer = await fetch(url + path, { ...init, headers: { "X-API-Key": KEY, "Content-Type": "application/json", ...init.headers } });
      const text = await answer.text();
      assert.ok(answer.ok, `${init.method ?? "GET"} ${path}: ${answer.status} ${text}`);
      return JSON.parse(text);
    },
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export function startBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
  });
}

/**
 * A page of a service that is watched: every request that leaves the origin, every error of a
 * script and every line of the console (a broken policy reports there) is kept as a fault.
 */
export async function openPage(browser, service, { theme = "light", phone = false, signedIn = true, axeAllowed = false } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1440, height: 900 },
    colorScheme: theme,
    deviceScaleFactor: 1.5,
    bypassCSP: axeAllowed,
    timezoneId: "Europe/Berlin",
    ...(phone ? { hasTouch: true, isMobile: true } : {}),
  });
  const faults = [];
  const page = await context.newPage();
  if (SLOW > 1) await (await context.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: SLOW });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== service.url && protocol !== "blob:") faults.push(`request to ${request.url()}`);
  });
  page.on("pageerror", (error) => faults.push(`script error ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    // The browser itself writes a line for each answer that is a refusal, such as the first 401.
    if (["error", "warning"].includes(message.type()) && !/Failed to load resource/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  if (signedIn) await signInByApi(context, service);
  return { page, context, faults, close: () => context.close() };
}

/** The cookie, without going through the form. */
async function signInByApi(context, service) {
  const answer = await context.request.post(`${service.url}/api/session`, { data: { key: KEY }, headers: { "X-Requested-With": "monlight", Origin: service.url } });
  assert.equal(answer.status(), 200, await answer.text());
}

export function assertClean(faults) {
  assert.deepEqual(faults, []);
}

/** axe-core on what is shown now: no violation of WCAG 2.2 A and AA, nor of its best practices. */
export async function assertAccessible(page, what) {
  await page.addScriptTag({ path: axe });
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.slice(0, 3).map(({ html, any }) => `${html}\n    ${any[0]?.message ?? ""}`).join("\n  ")}`);
  assert.equal(told.length, 0, `${what}:\n${told.join("\n")}`);
}

/** Nothing is wider than the screen. */
export async function assertNoSidewaysScroll(page, what) {
  const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
  assert.ok(scroll <= width, `${what} is ${scroll} wide on a screen of ${width}`);
}

/** A picture for people, named by page, theme and width. */
export async function shot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** Looks at a page in both themes and on a phone: axe, width, faults, and a picture of each. */
export async function checkLooks(browser, service, path, name, ready) {
  for (const { theme, phone } of [{ theme: "light" }, { theme: "dark" }, { theme: "light", phone: true }, { theme: "dark", phone: true }]) {
    const opened = await openPage(browser, service, { theme, phone, axeAllowed: true });
    const what = `${name}-${theme}${phone ? "-phone" : ""}`;
    await opened.page.goto(service.url + path);
    await ready(opened.page);
    // What has just opened fades in: colours are measured when it has.
    await opened.page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running" || one.effect?.getTiming().iterations === Infinity));
    await shot(opened.page, what);
    await assertNoSidewaysScroll(opened.page, what);
    await assertAccessible(opened.page, what);
    assertClean(opened.faults);
    await opened.close();
  }
}
