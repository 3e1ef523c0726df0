import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

export const KEY = "e2e-key";

/** A POST that the relay has taken. */
export interface Arrival {
  path: string;
  /** Where the key was: in the header, or in the URL as in requests that need no preflight. */
  keyIn: "header" | "query";
  contentType: string;
  body: any;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** `undefined` when the page went away in the middle of it, as pages do that are closed or left. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET") return undefined;
    throw error;
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Stands in for the browser relay: CORS with preflights, keys, and a record of what arrives. */
export class Relay {
  arrivals: Arrival[] = [];
  preflights = 0;
  /** Whether preflights get their answer; otherwise they wait until the relay stops. */
  permits = true;
  refused: string[] = [];
  /** Answers to give before the usual 202, as status and headers. */
  answers: [status: number, headers: Record<string, string>][] = [];
  readonly #events = new EventEmitter().setMaxListeners(100);
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  url = "";

  async start(): Promise<void> {
    this.url = `http://127.0.0.1:${await listen(this.#server)}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, this.url);
    const origin = request.headers.origin;
    if (origin) {
      response.setHeader("access-control-allow-origin", origin);
      response.setHeader("access-control-allow-credentials", "true");
      response.setHeader("vary", "Origin");
    }
    if (request.method === "OPTIONS") {
      this.preflights++;
      if (!this.permits) return void this.#events.emit("change");
      response.setHeader("access-control-allow-methods", "POST, OPTIONS");
      response.setHeader("access-control-allow-headers", "X-Monlight-Key, Content-Type");
      response.setHeader("access-control-max-age", "86400");
      response.writeHead(204).end();
      return;
    }
    const text = await readBody(request);
    if (text === undefined) return;
    const header = request.headers["x-monlight-key"];
    const key = header ?? url.searchParams.get("key");
    const answer = this.answers.shift();
    if (key !== KEY || answer) {
      const [status, headers] = answer ?? [401, {}];
      this.refused.push(`${url.pathname} ${status}`);
      response.writeHead(status, { "access-control-expose-headers": "Retry-After", ...headers }).end("{}");
    } else {
      this.arrivals.push({
        path: url.pathname,
        keyIn: header ? "header" : "query",
        contentType: request.headers["content-type"] ?? "",
        body: JSON.parse(text),
      });
      response.writeHead(202, { "content-type": "application/json" }).end('{"status": "accepted"}');
    }
    this.#events.emit("change");
  }

  get errors(): any[] {
    return this.arrivals.filter(({ path }) => path === "/api/browser/errors").map(({ body }) => body);
  }

  get metrics(): any[] {
    return this.arrivals.filter(({ path }) => path === "/api/browser/metrics").flatMap(({ body }) => body.metrics);
  }

  values(name: string): number[] {
    return this.metrics.filter((metric) => metric.name === name).map(({ value }) => value);
  }

  /** Waits until the condition holds; looks again whenever something arrives. */
  async until(what: string, condition: () => boolean, deadline = 15_000): Promise<void> {
    await waitFor(this.#events, what, condition, deadline, () => JSON.stringify({ arrivals: this.arrivals, refused: this.refused }));
  }
}

async function waitFor(
  events: EventEmitter,
  what: string,
  condition: () => boolean,
  deadline: number,
  state: () => string,
): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      events.off("change", look);
      reject(new Error(`not within ${deadline} ms: ${what}\n${state()}`));
    }, deadline);
    const look = () => {
      if (!condition()) return;
      clearTimeout(timer);
      events.off("change", look);
      resolve();
    };
    events.on("change", look);
  });
}

/** The site that is monitored: pages given by the tests, the bundles, and an API to call. */
export class Site {
  readonly pages = new Map<string, { body: string; headers?: Record<string, string> }>();
  /** What pages have posted to /note, for what they see themselves. */
  notes: any[] = [];
  url = "";
  readonly #events = new EventEmitter().setMaxListeners(100);
  readonly #server = createServer((request, response) => void this.#handle(request, response));

  async start(): Promise<void> {
    this.url = `http://localhost:${await listen(this.#server)}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url!, "http://site");
    const bundle = /^\/dist\/([\w.]+)$/.exec(pathname)?.[1];
    const page = this.pages.get(pathname);
    const status = /^\/status\/(\d+)/.exec(pathname)?.[1];
    if (bundle) {
      response.writeHead(200, { "content-type": "text/javascript" }).end(readFileSync(join("dist", bundle)));
    } else if (pathname === "/web-vitals.js") {
      response
        .writeHead(200, { "content-type": "text/javascript" })
        .end(readFileSync("node_modules/web-vitals/dist/web-vitals.iife.js"));
    } else if (pathname === "/note") {
      const text = await readBody(request);
      if (text === undefined) return;
      this.notes.push(JSON.parse(text));
      response.writeHead(204).end();
      this.#events.emit("change");
    } else if (page) {
      const type = pathname.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
      response.writeHead(200, { "content-type": type, ...page.headers }).end(page.body);
    } else if (pathname === "/never") {
      request.on("close", () => response.destroy());
    } else if (pathname === "/reset") {
      request.socket.destroy();
    } else {
      response.writeHead(Number(status ?? 404), { "content-type": "text/plain" }).end("answer");
    }
  }

  async until(what: string, condition: () => boolean, deadline = 15_000): Promise<void> {
    await waitFor(this.#events, what, condition, deadline, () => JSON.stringify(this.notes));
  }
}
