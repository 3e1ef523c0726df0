import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertClean, checkLooks, KEY, openPage, startBrowser, startService } from "./harness.mjs";

const TRACEBACK = `Traceback (most recent call last):
  File "/usr/lib/python3.13/site-packages/starlette/routing.py", line 288, in handle
    await self.app(scope, receive, send)
  File "/app/app/orders/routes.py", line 71, in availability
    async with db.acquire() as conn:
               ^^^^^^^^^^^^
psycopg.OperationalError: too many clients
`;
const STACK = "TypeError: Cannot read properties of undefined (reading 'price')\n    at lineTotal (https://shop.example/src/cart/total.ts:41:28)\n    at refresh (https://shop.example/src/cart/store.ts:90:8)";
const SYMBOLICATION = {
  frames: [
    {
      file: "https://shop.example/src/cart/total.ts",
      line: 41,
      column: 28,
      function: "lineTotal",
      source: "    const unit = offers[0].price;",
      context_line: 39,
      context: ["  if (line.bundle) {", "    // Bundles carry their own price.", "    const unit = offers[0].price;", "    return unit;", "  }"],
      minified: { file: "https://shop.example/assets/app.4f2c9e17.js", line: 1, column: 48213, function: "n" },
    },
  ],
};
const HOSTILE = "<img src=x onerror=\"window.__broken=1\"> \u202Egnp.exe\u202C </script><script>window.__broken=1</script>";

let service;
let browser;

before(async () => {
  service = await startService("error-tracker");
  browser = await startBrowser();
  const report = (body) => service.api("/api/errors", { method: "POST", body: JSON.stringify(body) });
  for (let turn = 0; turn < 7; turn += 1) {
    await report({
      project: "shop-api",
      exception_type: "OperationalError",
      message: "connection to server at \"postgres\" failed: FATAL: sorry, too many clients already",
      traceback: TRACEBACK,
      request_url: `/api/availability/48213?turn=${turn}`,
      request_method: "GET",
      request_headers: { "User-Agent": "python-httpx/0.28.1" },
      user_id: `user-${turn}`,
      extra: { pool: { size: 15, waiting: turn } },
    });
  }
  await report({ project: "shop-web", exception_type: "TypeError", message: "Cannot read properties of undefined (reading 'price')", traceback: STACK, request_url: "https://shop.example/cart", request_method: "BROWSER", extra: { session_id: "5ad8ba5d", user_agent: "Mozilla/5.0 Chrome/142.0", release: "2026.11.3", symbolication: SYMBOLICATION } });
  await report({ project: "shop-web", exception_type: "RangeError", message: "Invalid time value", traceback: "RangeError: x\n    at formatDeliveryDate (https://shop.example/src/lib/date.ts:12:3)", request_method: "BROWSER", extra: { session_id: "5ad8ba5d" } });
  await report({ project: "worker", exception_type: "Hostile", message: HOSTILE, traceback: "", extra: { "<b>": HOSTILE } });
  for (let n = 0; n < 130; n += 1) {
    await report({ project: "bulk", exception_type: `Bulk${n}`, message: `message ${n}`, traceback: `Traceback (most recent call last):\n  File "/app/f${n}.py", line ${n + 1}, in f\n    f()\nBulk${n}: message\n` });
  }
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

const row = (page, type) => page.locator("tr", { has: page.locator("b", { hasText: new RegExp(`^${type}$`) }) });

test("signing in: the form, a wrong key, the right one, and out again", async () => {
  const { page, context, faults, close } = await openPage(browser, service, { signedIn: false });
  await page.goto(`${service.url}/?project=worker`);
  const field = page.getByLabel("API key");
  await field.waitFor();
  assert.equal(await field.evaluate((element) => element === document.activeElement), true, "the field has the focus");
  await field.fill("not-the-key");
  await page.keyboard.press("Enter");
  await page.getByText("This key is not right.").waitFor();
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  await field.fill(KEY);
  await page.keyboard.press("Enter");
  // After it: the page that was asked for.
  await row(page, "Hostile").waitFor();
  assert.equal(new URL(page.url()).search, "?project=worker");
  const [cookie] = await context.cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, "Strict");
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
  assert.ok(!stored.includes(KEY), stored);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  assert.equal((await context.cookies()).length, 0);
  assertClean(faults);
  await close();
});

test("a session that ends asks for the key and comes back to the same place", async () => {
  const { page, context, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?source=browser`);
  await row(page, "TypeError").waitFor();
  // Whatever is still asked would hear of it before the button is pressed.
  await page.waitForLoadState("networkidle");
  await context.clearCookies();
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByLabel("API key").fill(KEY);
  await page.keyboard.press("Enter");
  await row(page, "TypeError").waitFor();
  assert.equal(new URL(page.url()).search, "?source=browser");
  await close();
});

test("the list: filters are in the URL, back undoes them", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(service.url);
  await row(page, "Bulk129").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 100);
  await page.getByRole("button", { name: /^Show \d+ more$/ }).click();
  await row(page, "Hostile").waitFor();
  assert.equal(await page.locator("tbody tr").count(), 134);
  await page.getByRole("button", { name: "Project" }).click();
  await page.getByRole("button", { name: "shop-web" }).first().click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  assert.equal(new URL(page.url()).search, "?project=shop-web");
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 100);
  await page.goto(`${service.url}/?session=5ad8ba5d`);
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  await page.getByRole("button", { name: "Remove the filter Session" }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 100);
  assertClean(faults);
  await close();
});

test("keys alone: down, open, occurrences, back, list of keys, palette", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?project=shop-api`);
  await row(page, "OperationalError").waitFor();
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement?.closest("tr")?.textContent?.includes("OperationalError")), true);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1 }).getByText("too many clients").waitFor();
  assert.match(new URL(page.url()).pathname, /^\/errors\/\d+$/);
  await page.getByText("Newest of 5 kept").waitFor();
  await page.getByText("turn=6").waitFor();
  await page.keyboard.press("[");
  await page.getByText("2 of 5 kept").waitFor();
  await page.getByText("turn=5").waitFor();
  await page.keyboard.press("2");
  await page.getByLabel("Traceback").getByText("psycopg.OperationalError").waitFor();
  await page.keyboard.press("Escape");
  await row(page, "OperationalError").waitFor();
  assert.equal(new URL(page.url()).search, "?project=shop-api");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("dark or light");
  await page.getByText("Nothing has this name.").waitFor();
  await page.getByRole("combobox").fill("theme");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  await page.reload();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "kept, and set before the first paint");
  assertClean(faults);
  await close();
});

test("an issue by its address: the failing line, the request, links to the session", async () => {
  const { page, faults, close } = await openPage(browser, service);
  const { errors } = await service.api("/api/errors?project=shop-api");
  await page.goto(`${service.url}/errors/${errors[0].id}`);
  const failing = page.locator(".src.fail");
  await failing.waitFor();
  assert.match(await failing.innerText(), /71\s*async with db\.acquire\(\) as conn:/);
  assert.equal(await page.locator(".here").innerText(), "db.acquire()");
  await page.getByText("1 frame in starlette").waitFor();
  await page.getByText("python-httpx/0.28.1").waitFor();
  const { errors: browserErrors } = await service.api("/api/errors?project=shop-web");
  const typeError = browserErrors.find(({ exception_type: type }) => type === "TypeError");
  await page.goto(`${service.url}/errors/${typeError.id}`);
  const source = page.getByLabel("Source, line 41");
  assert.match(await source.innerText(), /^39\s?if \(line\.bundle\) \{\n40\s+\/\/ Bundles carry their own price\.\n41\s+const unit = offers\[0\]\.price;\n42\s+return unit;\n43\s?\}$/);
  assert.equal(await source.locator(".fail .here").innerText(), "price");
  await page.getByTitle("All issues of this session").click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 2);
  await page.goto(`${service.url}/errors/999999`);
  await page.getByText("This issue does not exist or was deleted").waitFor();
  assertClean(faults);
  await close();
});

test("a new occurrence does not push away the one that is read", async () => {
  const { page, faults, close } = await openPage(browser, service);
  const report = (turn) => service.api("/api/errors", { method: "POST", body: JSON.stringify({ project: "reading", exception_type: "Reading", message: "m", traceback: "t", request_url: `/turn-${turn}`, request_method: "GET" }) });
  const { id } = await report(1);
  await page.goto(`${service.url}/errors/${id}?refresh=5s`);
  await page.getByText("/turn-1").waitFor();
  await report(2);
  await page.getByText("2 of 2 kept").waitFor();
  assert.equal(await page.getByText("/turn-1").count(), 1);
  await page.keyboard.press("]");
  await page.getByText("/turn-2").waitFor();
  await page.getByText("Newest of 2 kept").waitFor();
  assertClean(faults);
  await close();
});

test("text of strangers stays text, and what hides in it is shown", async () => {
  const { page, faults, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?project=worker`);
  await row(page, "Hostile").waitFor();
  await page.locator("tr").getByText("U+202E").waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1 }).getByText("onerror").waitFor();
  assert.equal(await page.evaluate(() => window.__broken), undefined);
  assert.equal(await page.locator("img").count(), 0);
  assertClean(faults);
  await close();
});

test("resolving: one on its page, several in the list, and news waits behind a pill", async () => {
  const { page, faults, close } = await openPage(browser, service);
  const { errors } = await service.api("/api/errors?project=bulk&limit=3");
  await page.goto(`${service.url}/errors/${errors[0].id}`);
  await page.getByRole("button", { name: "Resolve" }).click();
  await page.locator(".detail-type .badge", { hasText: "Resolved" }).waitFor();
  assert.equal((await service.api(`/api/errors/${errors[0].id}`)).resolved, true);
  await page.goto(`${service.url}/?project=bulk`);
  const first = row(page, errors[1].exception_type);
  await first.waitFor();
  await first.getByRole("checkbox").check();
  await row(page, errors[2].exception_type).getByRole("checkbox").check();
  await page.getByRole("toolbar").getByText("2 selected").waitFor();
  await page.keyboard.press("e");
  await page.getByText("2 issues resolved").waitFor();
  assert.equal(await first.count(), 0);
  await page.getByRole("link", { name: /^Resolved/ }).click();
  await first.waitFor();
  assert.equal((await service.api("/api/errors?project=bulk&resolved=true")).total, 3);
  await page.goto(`${service.url}/?refresh=5s&project=shop-web`);
  await row(page, "TypeError").waitFor();
  await service.api("/api/errors", { method: "POST", body: JSON.stringify({ project: "shop-web", exception_type: "Fresh", message: "new", traceback: "t" }) });
  await page.getByRole("button", { name: "1 new issue" }).click();
  await row(page, "Fresh").waitFor();
  assertClean(faults);
  await close();
});

test("too many wrong keys: the button counts down", async () => {
  const { page, close } = await openPage(browser, service, { signedIn: false });
  await page.route("**/api/session", (route) =>
    route.request().method() === "POST" ? route.fulfill({ status: 429, headers: { "retry-after": "4" }, json: { detail: "Too many wrong keys", retry_after: 4 } }) : route.continue(),
  );
  await page.goto(service.url);
  await page.getByLabel("API key").fill(KEY);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /Wait \d/ }).waitFor();
  await page.getByText("Too many wrong keys. Wait a moment.").waitFor();
  await page.unroute("**/api/session");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("tbody tr").first().waitFor();
  await close();
});

test("a limit and a full disk are said above the data, which stays", async () => {
  const { page, close } = await openPage(browser, service);
  await page.goto(`${service.url}/?project=shop-api`);
  await row(page, "OperationalError").waitFor();
  const limited = { status: 429, headers: { "retry-after": "1" }, json: { detail: "Rate limit exceeded", retry_after: 1 } };
  const full = { status: 503, json: { detail: "The disk is full. Nothing new is stored; reading goes on." } };
  let answer = limited;
  // Only the list's own question: the numbers on the tabs come by the same route.
  const list = (url) => url.pathname === "/api/errors" && url.searchParams.get("limit") === "100";
  await page.route(list, (route) => (answer ? route.fulfill(answer) : route.continue()));
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByRole("alert").getByText(/Too many requests\. The next try is in/).waitFor();
  assert.equal(await row(page, "OperationalError").count(), 1);
  // It tries again by itself when the limit is over, and hears that the disk is full.
  answer = full;
  await page.getByRole("alert").getByText("The disk is full.").waitFor();
  assert.equal(await row(page, "OperationalError").count(), 1);
  answer = null;
  await page.getByRole("alert").waitFor({ state: "detached" });
  await close();
});

test("a service that goes away is said, and old data stays", async () => {
  const other = await startService("error-tracker");
  const { page, close } = await openPage(browser, other);
  await other.api("/api/errors", { method: "POST", body: JSON.stringify({ project: "p", exception_type: "Kept", message: "m", traceback: "t" }) });
  await page.goto(other.url);
  await row(page, "Kept").waitFor();
  await other.stop();
  await page.getByRole("button", { name: "Reload" }).click();
  await page.getByRole("alert").getByText("The service does not answer.").waitFor();
  await page.getByText(/Lost, again in/).waitFor();
  assert.equal(await row(page, "Kept").count(), 1);
  await close();
});

test("below a path of a proxy everything is relative", async () => {
  const { page, close } = await openPage(browser, service);
  const asked = [];
  // What a reverse proxy with a sub-path does: it takes the path away and passes the rest on.
  await page.route(`${service.url}/monitor/errors/**`, async (route) => {
    const url = route.request().url().replace("/monitor/errors/", "/");
    asked.push(new URL(url).pathname);
    await route.continue({ url });
  });
  await page.goto(`${service.url}/monitor/errors/?project=shop-api`);
  await row(page, "OperationalError").waitFor();
  await row(page, "OperationalError").getByRole("link").click();
  await page.getByText("Newest of 5 kept").waitFor();
  assert.match(new URL(page.url()).pathname, /^\/monitor\/errors\/errors\/\d+$/);
  await page.reload();
  await page.getByText("Newest of 5 kept").waitFor();
  assert.ok(asked.includes("/app.js") && asked.includes("/api/session"), asked.join());
  await close();
});

test("looks: sign-in, list, issue", async () => {
  const { page, faults, close } = await openPage(browser, service, { signedIn: false, axeAllowed: true });
  await page.goto(service.url);
  await page.getByLabel("API key").waitFor();
  const { assertAccessible, shot } = await import("./harness.mjs");
  await shot(page, "signin-light");
  await assertAccessible(page, "signin");
  assertClean(faults);
  await close();
  await checkLooks(browser, service, "/", "errors", (opened) => opened.locator("tbody tr").first().waitFor());
  const { errors } = await service.api("/api/errors?project=shop-api");
  await checkLooks(browser, service, `/errors/${errors[0].id}`, "error", (opened) => opened.getByText("Newest of 5 kept").waitFor());
  const empty = await startService("error-tracker");
  await checkLooks(browser, empty, "/", "errors-first", (opened) => opened.getByRole("heading", { name: "Send the first error" }).waitFor());
  await empty.stop();
  await checkLooks(browser, service, "/?project=nothing", "errors-empty", (opened) => opened.getByText("Nothing matches these filters.").waitFor());
});
