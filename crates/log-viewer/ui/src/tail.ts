/** The live tail: lines as they are written, by an EventSource that finds its way back by itself. */
import { signal } from "@preact/signals";
import type { Line } from "./api";

export type TailState = "off" | "connecting" | "open" | "lost";

/** Lines are handed on together, this often, in milliseconds. */
const FLUSH = 150;
/** Without a tail the list is asked this often, in milliseconds. */
const ASK = 5000;
/** And the tail is tried again after so many such questions. */
const TRY_AGAIN = 3;

interface Handlers {
  /** Where to listen; with the newest line of an earlier connection, from what came after it. */
  url: (after: number | null) => string;
  onLines: (lines: Line[]) => void;
  /** Fetches what was written since the newest known line: at the first connection, and while there is none. */
  onGap: () => Promise<void>;
}

export class Tail {
  readonly state = signal<TailState>("off");
  /** Lines the service left out because this page was too slow for them. They can be found by loading anew. */
  readonly missed = signal(0);
  #source: EventSource | null = null;
  #waiting: Line[] = [];
  /** The newest line of this tail: a new connection goes on behind it. */
  #last: number | null = null;
  #flush: ReturnType<typeof setTimeout> | undefined;
  #ask: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly handlers: Handlers) {}

  start(): void {
    this.stop();
    this.missed.value = 0;
    this.#last = null;
    this.state.value = "connecting";
    this.#connect();
  }

  stop(): void {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#flush);
    clearInterval(this.#ask);
    this.#flush = undefined;
    this.#waiting = [];
    this.state.value = "off";
  }

  #connect(): void {
    const source = new EventSource(this.handlers.url(this.#last));
    this.#source = source;
    source.addEventListener("open", () => {
      clearInterval(this.#ask);
      this.state.value = "open";
      // What was written while nobody listened. Later connections go on where the one before ended.
      if (this.#last === null) void this.handlers.onGap();
    });
    source.addEventListener("log", (event) => this.#take(JSON.parse((event as MessageEvent<string>).data) as Line));
    source.addEventListener("missed", (event) => {
      this.missed.value += (JSON.parse((event as MessageEvent<string>).data) as { count: number }).count;
    });
    // The service ends a stream after a while; a new one goes on where it stopped.
    source.addEventListener("close", () => {
      source.close();
      if (this.#source === source) this.#connect();
    });
    source.addEventListener("error", () => {
      if (this.#source !== source) return;
      this.state.value = "lost";
      // CONNECTING: the browser tries again by itself. CLOSED: it was refused and does not.
      if (source.readyState === EventSource.CLOSED) this.#askInstead();
    });
  }

  /** All places of the tail may be taken: then the list is asked every few seconds. */
  #askInstead(): void {
    clearInterval(this.#ask);
    let asked = 0;
    this.#ask = setInterval(() => {
      asked += 1;
      void this.handlers.onGap();
      if (asked < TRY_AGAIN) return;
      clearInterval(this.#ask);
      this.#connect();
    }, ASK);
  }

  #take(line: Line): void {
    this.#last = line.id;
    this.#waiting.push(line);
    this.#flush ??= setTimeout(() => {
      this.#flush = undefined;
      this.handlers.onLines(this.#waiting.splice(0));
    }, FLUSH);
  }
}
