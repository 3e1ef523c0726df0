// Nothing is lost or doubled between the JavaScript SDK and the services when answers of the relay do not reach the page.
// The folder once/ has the same for the Python SDK.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";

import { CHROMIUM, CHROMIUM_ARGS, DSN, PROJECT, ROOT, Stack, eventually } from "./stack.mjs";

const SDK = readFileSync(join(ROOT, "sdks/javascript/dist/monlight.min.js"));

async function listen(server) {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}`;
}

/** Stands before the relay. The answers to the next `lose` events are lost once the relay has given them. */
class Door {
  lose = 0;
  /** Bytes of a lost answer that get through all the same. */
  keep = "";
  /** What became of the events, in the order of their answers. */
  seen = [];
  #server = createServer((request, response) => {
    const { method, url, headers } = request;
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    const passed = httpRequest(this.target + url, { method, headers }, async (answer) => {
      const body = await answer.toArray();
      if (method === "POST") {
        const { event_id: id } = JSON.parse(Buffer.concat(chunks).toString());
        const lost = this.lose > 0;
        this.seen.push({ id, lost, status: answer.statusCode, body: Buffer.concat(body).toString() });
        if (lost) {
          this.lose -= 1;
          if (this.keep) request.socket.write(this.keep);
          request.socket.end();
          return;
        }
      }
      response.writeHead(answer.statusCode, answer.headers);
      response.end(Buffer.concat(body));
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });

  async start(target) {
    this.target = target;
    this.url = await listen(this.#server);
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe("answers that are lost", () => {
  const stack = new Stack();
  const door = new Door();
  const site = createServer((request, response) => {
    if (request.url === "/monlight.min.js") return response.writeHead(200, { "Content-Type": "text/javascript" }).end(SDK);
    if (request.url !== "/") return response.writeHead(204).end();
    const config = JSON.stringify({ dsn: DSN, endpoint: door.url, sampleRate: 0 });
    response.writeHead(200, { "Content-Type": "text/html" });
    return response.end(`<!doctype html><link rel="icon" href="data:,"><script>MonlightConfig = ${config}</script><script src="/monlight.min.js"></script>`);
  });
  let browser, page;

  before(async () => {
    await stack.start();
    await door.start(stack.url("browser-relay"));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
    page = await browser.newPage();
    await page.goto(await listen(site));
  });
  after(async () => {
    await browser?.close();
    site.closeAllConnections();
    site.close();
    door.close();
    await stack.remove();
  });

  const flush = async () => assert.equal(await page.evaluate(() => Monlight.flush(30_000)), true, "everything is delivered");

  /** Reports an error that makes a group of its own. */
  const capture = (message) =>
    page.evaluate((text) => Monlight.captureError(Object.assign(new Error(text), { stack: `Error: ${text}\n    at f (/${text}.js:1:2)` })), message);

  /** The number of reports of each message. */
  const reports = async () => {
    const { errors } = await stack.get("error-tracker", `/api/errors?project=${PROJECT}`);
    return Object.fromEntries(errors.map(({ message, count }) => [message, count]));
  };

  const ways = [
    ["the connection ends before the answer", "", 1],
    ["the connection ends in the head of the answer", "HTTP/1.1 20", 1],
    ["the connection ends in the body of the answer", "HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\n{", 1],
    ["three times", "", 3],
  ];

  for (const [way, keep, lose] of ways) {
    test(`an error: ${way}`, async () => {
      Object.assign(door, { keep, lose, seen: [] });
      await capture(way);
      await flush();
      assert.deepEqual(door.seen.map(({ lost }) => lost), [...Array(lose).fill(true), false]);
      assert.equal(new Set(door.seen.map(({ id }) => id)).size, 1);
      assert.deepEqual(JSON.parse(door.seen.at(-1).body), { status: "duplicate" });
      assert.equal((await reports())[way], 1);
    });
  }

  test("metrics", async () => {
    let fetched = 0;
    for (const [way, keep, lose] of ways) {
      Object.assign(door, { keep, lose, seen: [] });
      // Each is a counter and a duration; ten metrics make a request.
      await page.evaluate(() => Promise.all(Array.from({ length: 12 }, () => fetch("/ping"))));
      fetched += 12;
      await flush();
      assert.equal(door.seen.filter(({ lost }) => lost).length, lose, way);
      const total = async () => {
        const { data } = await stack.get("metrics-collector", `/api/metrics?name=browser_http_requests_total&project=${PROJECT}&period=1h`);
        return data.reduce((sum, row) => sum + row.sum, 0);
      };
      await eventually("all requests are counted", async () => (await total()) >= fetched);
      assert.equal(await total(), fetched, way);
    }
  });

  test("the same error again is another one", async () => {
    Object.assign(door, { lose: 0, seen: [] });
    const before = (await reports()).twice ?? 0;
    for (let n = 1; n <= 2; n += 1) {
      // The SDK itself sends the same error once a minute; another page does not know.
      await page.reload();
      await capture("twice");
      await flush();
      assert.equal((await reports()).twice, before + n);
    }
    assert.equal(new Set(door.seen.map(({ id }) => id)).size, door.seen.length);
  });
});
