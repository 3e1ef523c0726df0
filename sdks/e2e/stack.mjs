// Starts the four release binaries on free ports with data in a temporary directory, and ends them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = resolve(HERE, "../..");
const BINARIES = process.env.BIN_DIR ? resolve(process.env.BIN_DIR) : join(ROOT, "target/release");

export const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
export const CHROMIUM_ARGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];

export const KEY = "e2e-api-key";
export const ADMIN_KEY = "e2e-admin-key";
export const INTERNAL_KEY = "e2e-internal-key";
export const DSN = "e2e0000000000000000000000000feed";
export const PROJECT = "shop-web";

/** Polls `probe` until it answers something truthy; fails with `what` after `seconds`. */
export async function eventually(what, probe, seconds = 30) {
  const deadline = performance.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      last = await probe();
      if (last) return last;
    } catch (fault) {
      last = fault;
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${seconds} s: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`);
    }
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

export class Stack {
  /** `settings` are further environment variables by service. */
  constructor(settings = {}) {
    this.settings = settings;
    this.directory = mkdtempSync(join(tmpdir(), "monlight-e2e-"));
    this.containers = join(this.directory, "containers");
    mkdirSync(this.containers);
    this.ports = {};
    this.processes = {};
    this.logs = {};
  }

  url(service, path = "") {
    return `http://127.0.0.1:${this.ports[service]}${path}`;
  }

  /** Starts all four, on the ports of the time before if there was one. */
  async start() {
    await Promise.all(["error-tracker", "log-viewer", "metrics-collector"].map((service) => this.startOne(service)));
    await this.startOne("browser-relay");
  }

  /** Where the pages of the others are: from the second start on, when the ports are known. */
  siblings() {
    const names = { errors: "error-tracker", logs: "log-viewer", metrics: "metrics-collector" };
    const known = Object.entries(names).filter(([, service]) => this.ports[service]);
    return known.length < 3 ? {} : Object.fromEntries(known.map(([name, service]) => [`PUBLIC_${name.toUpperCase()}_URL`, this.url(service)]));
  }

  environment(service) {
    const common = {
      HOST: "127.0.0.1",
      PORT: String(this.ports[service] ?? 0),
      DATABASE_PATH: join(this.directory, `${service}.db`),
      API_KEY: KEY,
      INTERNAL_API_KEY: INTERNAL_KEY,
      RATE_LIMIT: "0",
      ...this.siblings(),
    };
    if (service === "log-viewer") {
      return { ...common, LOG_SOURCES: this.containers, POLL_INTERVAL: "1" };
    }
    if (service === "browser-relay") {
      return {
        ...common,
        API_KEY: "",
        ADMIN_API_KEY: ADMIN_KEY,
        ERROR_TRACKER_URL: this.url("error-tracker"),
        ERROR_TRACKER_API_KEY: INTERNAL_KEY,
        METRICS_COLLECTOR_URL: this.url("metrics-collector"),
        METRICS_COLLECTOR_API_KEY: INTERNAL_KEY,
        DSN_KEYS: `${PROJECT}:${DSN}`,
        CORS_ORIGINS: "http://127.0.0.1:*,http://localhost:*",
      };
    }
    return common;
  }

  /** A container of that name: answers a function that writes a line as Docker's json-file driver does. */
  container(name) {
    const id = Buffer.from(name).toString("hex").padEnd(64, "0");
    const directory = join(this.containers, id);
    mkdirSync(directory);
    writeFileSync(join(directory, "config.v2.json"), JSON.stringify({ ID: id, Name: `/${name}`, Config: { Labels: {} } }));
    const file = join(directory, `${id}-json.log`);
    return (stream, text) =>
      appendFileSync(file, `${JSON.stringify({ log: `${text}\n`, stream, time: new Date().toISOString().replace("Z", "000000Z") })}\n`);
  }

  async startOne(service) {
    const child = spawn(join(BINARIES, service), [], { env: { ...this.environment(service), ...this.settings[service] }, stdio: ["ignore", "ignore", "pipe"] });
    this.processes[service] = child;
    this.logs[service] ??= [];
    const log = this.logs[service];
    const lines = createInterface({ input: child.stderr });
    const listening = new Promise((found, failed) => {
      lines.on("line", (line) => {
        log.push(line);
        const match = /listening on \S*?:(\d+)\b/.exec(line);
        if (match) found(Number(match[1]));
      });
      child.on("exit", (code, signal) => failed(new Error(`${service} ended (${code ?? signal}):\n${log.slice(-20).join("\n")}`)));
    });
    this.ports[service] = await listening;
    listening.catch(() => {});
    await eventually(`${service} healthy`, async () => (await fetch(this.url(service, "/health"))).status === 200, 10);
  }

  /** Sends a signal to all four and answers how each ended: its exit status, or the signal's name. */
  async end(signal = "SIGTERM") {
    const ended = {};
    await Promise.all(
      Object.entries(this.processes).map(async ([service, child]) => {
        if (child.exitCode === null && child.signalCode === null) {
          const exit = once(child, "exit");
          child.kill(signal);
          await exit;
        }
        ended[service] = child.exitCode ?? child.signalCode;
      }),
    );
    return ended;
  }

  async remove() {
    await this.end("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** GET with the operator's key; the answer as JSON. */
  async get(service, path) {
    const key = service === "browser-relay" ? ADMIN_KEY : KEY;
    const answer = await fetch(this.url(service, path), { headers: { "X-API-Key": key } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async post(service, path, body) {
    const key = service === "browser-relay" ? ADMIN_KEY : KEY;
    return fetch(this.url(service, path), {
      method: "POST",
      headers: { "X-API-Key": key, "Content-Type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }
}
