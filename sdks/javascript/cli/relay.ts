// The way of a map to the relay.

import { promisify } from "node:util";
import { gzip } from "node:zlib";

const TRIES = 6;
const BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 30_000;
/** A relay that wants more than this is not worth waiting for in a build. */
const LONGEST_RETRY_AFTER_MS = 300_000;
/** For one request: an upload may wait for others in the relay. */
const REQUEST_TIMEOUT_MS = 180_000;
const LONGEST_DETAIL = 500;

/** Nothing more can be uploaded, in words for people. */
export class Unusable extends Error {}

/** The relay does not want this map, in words for people. */
export class Rejected extends Error {}

/** One map, as `POST /api/source-maps` takes it. */
export interface Upload {
  project: string;
  release?: string;
  file_url: string;
  map_content: string;
  debug_id?: string;
}

/** Where to upload to. */
export interface RelayOptions {
  /** Base URL. */
  url: string;
  key: string;
  /** Told before each pause: what was wrong, and how long it is. */
  onRetry: (what: string, waitMs: number) => void;
  /** Waits; a test does not. */
  pause?: (milliseconds: number) => Promise<void>;
}

/** What one try came to. */
type Answer = { done: true } | { done: false; what: string; retryAfter?: number };

const compress = promisify(gzip);
const pauseFor = (milliseconds: number): Promise<void> => new Promise((wake) => setTimeout(wake, milliseconds));

/** Text of a stranger for a terminal: one line, no control characters, not endless. */
function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim().slice(0, LONGEST_DETAIL);
}

/** What `fetch` says, with the reason that it hides in the cause. */
function reasonOf(fault: unknown): string {
  const { message, cause } = fault as Error;
  const inner = Object(cause) as { message?: string; code?: string };
  return oneLine(inner.message || inner.code || message);
}

function retryAfterOf(response: Response): number | undefined {
  const value = response.headers.get("Retry-After")?.trim();
  if (!value) return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(wait, 0);
}

async function detailOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return oneLine(String(JSON.parse(text).detail ?? text));
  } catch {
    return oneLine(text);
  }
}

/** A relay to which maps are uploaded, several at once; what it says to one of them about waiting is kept to by all. */
export class Relay {
  #pausedUntil = 0;
  readonly #pause: (milliseconds: number) => Promise<void>;
  readonly #target: string;

  constructor(private readonly options: RelayOptions) {
    this.#pause = options.pause ?? pauseFor;
    this.#target = `${options.url.replace(/\/+$/, "")}/api/source-maps`;
  }

  /**
   * Uploads a map and answers how many bytes were sent.
   *
   * @throws Rejected when the relay refuses it for what it is, Unusable when there is no use in trying others.
   */
  async upload(upload: Upload): Promise<number> {
    const body = await compress(JSON.stringify(upload));
    for (let tried = 1; ; tried++) {
      const blocked = this.#pausedUntil - Date.now();
      if (blocked > 0) await this.#pause(blocked);
      const answer = await this.#post(body);
      if (answer.done) return body.length;
      const { what, retryAfter } = answer;
      if (tried === TRIES) throw new Unusable(`${what}; gave up after ${TRIES} tries`);
      if (retryAfter !== undefined && retryAfter > LONGEST_RETRY_AFTER_MS) {
        throw new Unusable(`${what} and asks to come back in ${Math.ceil(retryAfter / 1000)} s`);
      }
      const backoff = Math.min(BACKOFF_MS * 2 ** (tried - 1), LONGEST_BACKOFF_MS) * (0.5 + Math.random() / 2);
      const wait = retryAfter ?? backoff;
      if (retryAfter !== undefined) this.#pausedUntil = Math.max(this.#pausedUntil, Date.now() + retryAfter);
      this.options.onRetry(what, wait);
      if (retryAfter === undefined) await this.#pause(wait);
    }
  }

  async #post(body: Buffer): Promise<Answer> {
    let response: Response;
    try {
      response = await fetch(this.#target, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Content-Encoding": "gzip", "X-API-Key": this.options.key },
        body: body as Uint8Array<ArrayBuffer>,
        // Followed, a redirect would carry the key to wherever it points.
        redirect: "manual",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      if (response.status === 201) {
        await response.arrayBuffer();
        return { done: true };
      }
    } catch (fault) {
      return { done: false, what: `${this.#target} cannot be reached: ${reasonOf(fault)}` };
    }
    return this.#refusal(response);
  }

  async #refusal(response: Response): Promise<Answer> {
    const { status } = response;
    if (status >= 300 && status < 400) {
      const target = oneLine(response.headers.get("Location") ?? "nowhere");
      throw new Unusable(`${this.#target} redirects to ${target}: give the relay's own address as --url`);
    }
    let detail: string;
    try {
      detail = await detailOf(response);
    } catch (fault) {
      return { done: false, what: `the answer of ${this.#target} broke off: ${reasonOf(fault)}` };
    }
    const said = `${status}${detail && `: ${detail}`}`;
    if (status === 401 || status === 403) throw new Unusable(`the relay refuses the key in MONLIGHT_API_KEY (${said})`);
    if (status === 404 || status === 405) throw new Unusable(`${this.#target} is no relay (${said})`);
    if (status === 413) throw new Rejected(`too large for the relay (${said}); MAX_SOURCE_MAP_BYTES is its limit`);
    if (status === 408 || status === 429 || status >= 500) {
      return { done: false, what: `the relay answers ${said}`, retryAfter: retryAfterOf(response) };
    }
    throw new Rejected(`refused by the relay (${said})`);
  }
}
