// The pages of the three services as a person uses them: by labels, roles and text, in one browser that is signed in to
// all three.

import assert from "node:assert/strict";

import { KEY, PROJECT, eventually } from "./stack.mjs";

/** Where one signs in, and the title that is there afterwards. */
const HEADINGS = { "error-tracker": "Issues", "log-viewer": "Logs", "metrics-collector": "Overview" };

export async function openPages(browser, stack) {
  return new Pages(browser, stack, await browser.newContext({ viewport: { width: 1280, height: 860 } }));
}

class Pages {
  constructor(browser, stack, context) {
    this.browser = browser;
    this.stack = stack;
    this.context = context;
    /** What no page may do: errors and warnings of the console, requests that leave the three origins. */
    this.faults = [];
    this.watch(context);
  }

  watch(context) {
    const origins = Object.keys(HEADINGS).map((service) => this.stack.url(service));
    context.on("request", (request) => {
      if (!origins.includes(new URL(request.url()).origin)) this.faults.push(`request to ${request.url()}`);
    });
    context.on("weberror", (fault) => this.faults.push(String(fault.error().stack)));
    context.on("console", (message) => {
      // The browser itself writes a line for the 401 that asks for the key.
      const expected = /^Failed to load resource: .* 401 /.test(message.text());
      if (["error", "warning"].includes(message.type()) && !expected) this.faults.push(`console: ${message.text()}`);
    });
  }

  async close() {
    await this.context.close();
  }

  async open(service, path = "/", context = this.context) {
    const page = await context.newPage();
    await page.goto(this.stack.url(service, path));
    return page;
  }

  async signIn() {
    for (const [service, heading] of Object.entries(HEADINGS)) {
      const page = await this.open(service);
      await page.getByLabel("API key").fill("not-the-key");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("alert").getByText("This key is not right.").waitFor();
      await page.getByLabel("API key").fill(KEY);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      const seen = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
      assert.ok(!seen.includes(KEY), `${service} keeps the key where scripts read it: ${seen}`);
      await page.close();
    }
    // Ports share cookies: signing in to one must not sign out of another.
    const cookies = await this.context.cookies();
    assert.equal(cookies.length, 3, JSON.stringify(cookies.map(({ name }) => name)));
    for (const { name, value, httpOnly, sameSite } of cookies) {
      assert.deepEqual({ name, httpOnly, sameSite }, { name, httpOnly: true, sameSite: "Strict" });
      assert.ok(!value.includes(KEY));
    }
    for (const [service, heading] of Object.entries(HEADINGS)) {
      const page = await this.open(service);
      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      await page.close();
    }
  }

  async errors(failingLine) {
    const page = await this.open("error-tracker");
    const issue = (type) => page.getByRole("row", { name: type });
    const stack = page.getByRole("region", { name: "Stack" });
    await issue("PermissionError").getByText("card of order 7 was declined").waitFor();
    await issue("TypeError").getByText("Cannot read properties of undefined (reading 'price')").waitFor();

    await page.getByRole("button", { name: "Source" }).click();
    await page.getByRole("group", { name: "Source" }).getByRole("button", { name: "Browser" }).click();
    await issue("PermissionError").waitFor({ state: "detached" });
    await issue("TypeError").getByRole("link").click();
    await page.getByRole("heading", { level: 1, name: /reading 'price'/ }).waitFor();
    // The failing frame: the function around it, its place in the source, and the line itself.
    const first = stack.getByRole("listitem").first();
    assert.match(await first.innerText(), new RegExp(`^lineTotal\\s+(\\S*/)?cart\\.ts:${failingLine}:\\d+\\s`));
    assert.match(await first.getByLabel(`Source, line ${failingLine}`).innerText(), /\.price\b/);
    assert.equal(await page.getByText('"symbolication"').count(), 0, "the frames are in the context as well");

    // From an error to what was logged around it, on the page of another service.
    await page.getByRole("link", { name: "Logs of these two minutes" }).click();
    await page.getByRole("log").getByText("INFO worker started").waitFor();

    await page.goto(this.stack.url("error-tracker", "/?project=shop-api"));
    await issue("PermissionError").getByRole("link").click();
    await stack.getByText(/raise PermissionError\(f"card of order/).waitFor();
    await page.getByRole("region", { name: "Request" }).getByText("/orders/7/pay").waitFor();

    const id = new URL(page.url()).pathname.split("/").pop();
    await page.getByRole("button", { name: "Resolve" }).click();
    await page.getByRole("status").getByText("1 issue resolved").waitFor();
    assert.equal((await this.stack.get("error-tracker", `/api/errors/${id}`)).resolved, true);
    await page.goto(this.stack.url("error-tracker"));
    await issue("TypeError").waitFor();
    assert.equal(await issue("PermissionError").count(), 0, "a resolved issue is still listed as open");
    await page.getByRole("link", { name: "Resolved" }).click();
    await issue("PermissionError").waitFor();
    assert.equal(await issue("TypeError").count(), 0);
    await page.close();
  }

  async logs(write) {
    const other = this.stack.container("shop-mailer");
    other("stdout", "WARNING mail queue is long");
    await eventually("the second container", async () => (await this.stack.get("log-viewer", "/api/logs?container=shop-mailer")).total === 1);

    const page = await this.open("log-viewer");
    const lines = page.getByRole("log").getByRole("listitem");
    const line = (text) => lines.filter({ hasText: text });
    const pick = async (filter, choice) => {
      await page.getByRole("button", { name: filter }).click();
      await page.getByRole("group", { name: filter }).getByRole("button", { name: choice }).click();
    };
    const shown = (count) => eventually(`${count} lines on the page`, async () => (await lines.count()) === count);
    await line("mail queue is long").waitFor();

    await page.getByRole("searchbox", { name: "Search lines" }).fill("ZeroDivisionError");
    await line("mail queue is long").waitFor({ state: "detached" });
    await shown(1);
    await lines.getByRole("button").first().click();
    const whole = await page.getByLabel("The whole message").innerText();
    assert.match(whole, /^Traceback[^]*share = total \/ len\(carts\)[^]*ZeroDivisionError: division by zero$/);
    await page.getByRole("searchbox", { name: "Search lines" }).fill("");
    await line("mail queue is long").waitFor();

    await pick("Level", "Error and above");
    await line("mail queue is long").waitFor({ state: "detached" });
    await shown(1);
    await line("+4 lines").waitFor();
    await pick("Level", "All");
    await line("mail queue is long").waitFor();
    await pick("Container", /shop-mailer/);
    await line("+4 lines").waitFor({ state: "detached" });
    await shown(1);
    await line("mail queue is long").waitFor();

    // The tail keeps to the filter: of two lines, the one of this container comes.
    await page.getByRole("button", { name: "Live", exact: true }).waitFor();
    write("stdout", "INFO not of the mailer");
    other("stderr", "ERROR smtp.example refused the connection");
    await line("smtp.example refused").waitFor();
    await shown(2);
    await page.close();
  }

  async metrics() {
    const page = await this.open("metrics-collector", "/?period=1h");
    await page.getByRole("img", { name: /^http_requests_total: / }).waitFor();
    await page.getByText("6 in all").waitFor();
    const vitals = page.getByRole("region", { name: "Web vitals" });
    const lcp = vitals.getByRole("listitem").filter({ hasText: "LCP" });
    await lcp.getByText("Good", { exact: true }).waitFor();
    await vitals.getByRole("row", { name: "/shop/:id" }).waitFor();

    await page.getByRole("link", { name: "Explore", exact: true }).click();
    await page.getByRole("link", { name: "http_request_duration_seconds" }).click();
    const chart = page.getByRole("img", { name: /\d\s?(µs|ms|s)\b/ });
    await chart.waitFor();
    await eventually("a drawn chart", async () => (await colours(chart.locator("canvas"))) > 1);
    const { data } = await this.stack.get("metrics-collector", "/api/metrics?name=http_request_duration_seconds&period=1h");
    const slowest = Math.max(...data.map(({ max }) => max));
    const facts = await page.getByRole("region", { name: "The whole range" }).innerText();
    assert.match(facts, /Points\s+6\b/);
    const [, number, unit] = /Max\s+([\d.]+)\s(µs|ms|s)\b/.exec(facts);
    const read = number * { µs: 1e-6, ms: 1e-3, s: 1 }[unit];
    assert.ok(Math.abs(read / slowest - 1) < 0.01, `the page says ${number} ${unit}, the service ${slowest} s`);

    await page.getByRole("button", { name: "Table" }).click();
    const table = page.getByRole("table", { name: /^Values of http_request_duration_seconds/ });
    const counts = await table.getByRole("row").locator("td:nth-child(2)").allInnerTexts();
    assert.equal(counts.reduce((sum, text) => sum + Number(text), 0), 6, counts.join());
    await page.close();
  }

  async phone() {
    const phone = await this.browser.newContext({
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      hasTouch: true,
      isMobile: true,
      storageState: await this.context.storageState(),
    });
    this.watch(phone);
    const fits = async (page) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${page.url()} is ${width} wide`);
      await page.close();
    };
    try {
      const errors = await this.open("error-tracker", `/?project=${PROJECT}`, phone);
      await errors.getByRole("row", { name: "TypeError" }).tap();
      await errors.getByRole("region", { name: "Stack" }).getByText(/cart\.ts:\d+/).first().waitFor();
      await fits(errors);
      const logs = await this.open("log-viewer", "/?q=ZeroDivisionError", phone);
      await logs.getByRole("log").getByRole("listitem").getByRole("button").first().tap();
      await logs.getByLabel("The whole message").getByText("share = total / len(carts)").waitFor();
      await fits(logs);
      const metrics = await this.open("metrics-collector", "/?period=1h", phone);
      await metrics.getByRole("img", { name: /^http_requests_total: / }).waitFor();
      await metrics.getByRole("heading", { name: "Web vitals" }).scrollIntoViewIfNeeded();
      await fits(metrics);
    } finally {
      await phone.close();
    }
  }
}

/** How many colours with a hue a canvas has: none when nothing but grid and text was drawn on it. */
function colours(canvas) {
  return canvas.evaluate((element) => {
    const { data } = element.getContext("2d").getImageData(0, 0, element.width, element.height);
    const found = new Set();
    for (let at = 0; at < data.length; at += 4) {
      const [red, green, blue, alpha] = data.subarray(at, at + 4);
      if (alpha > 0 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) found.add((red << 16) | (green << 8) | blue);
    }
    return found.size;
  });
}
