/** A piece of the service's data on a page: loaded, refreshed, never wiped by a failed refresh. */
import { batch, signal } from "@preact/signals";
import { type Answer, Fault } from "./api";
import { lostSession } from "./session";

/** Seconds before the tries after a failure. The last one repeats. */
const BACK_OFF = [2, 4, 8, 15, 30];
/** A page shows nothing of a load that takes less. */
export const PATIENCE = 300;

export class Source<T> {
  /** The newest answer. Old data stays while a new one is on its way, and when it fails. */
  readonly data = signal<T | null>(null);
  readonly fault = signal<Fault | null>(null);
  readonly busy = signal(false);
  /** True once a load takes longer than {@link PATIENCE}. */
  readonly slow = signal(false);
  /** When the newest answer came. */
  readonly at = signal<Date | null>(null);
  /** Milliseconds the newest answer took. */
  readonly took = signal<number | null>(null);
  /** When the next try after a failure starts by itself. */
  readonly retryAt = signal<Date | null>(null);

  #abort: AbortController | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  /** `fetcher` is asked at every load, so it reads the filters as they are then. */
  constructor(private readonly fetcher: (signal: AbortSignal) => Promise<Answer<T>>) {}

  /** Loads anew; an earlier load that is still running is dropped. Never throws. */
  async load(): Promise<void> {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.busy.value = true;
    const patience = setTimeout(() => {
      if (this.#abort === abort) this.slow.value = true;
    }, PATIENCE);
    try {
      const answer = await this.fetcher(abort.signal);
      if (this.#abort === abort) this.#accept(answer);
    } catch (reason) {
      if (this.#abort === abort) this.#fail(reason);
    } finally {
      clearTimeout(patience);
      if (this.#abort === abort) this.#finish();
    }
  }

  /** Ends a running load and a planned one. What is shown stays. */
  stop(): void {
    this.#abort?.abort();
    this.#finish();
    clearTimeout(this.#retry);
    this.retryAt.value = null;
  }

  /** Forgets everything, for another subject (another issue, another metric). */
  clear(): void {
    this.stop();
    batch(() => {
      this.data.value = null;
      this.fault.value = null;
      this.at.value = null;
    });
  }

  #accept(answer: Answer<T>): void {
    this.#failures = 0;
    batch(() => {
      this.data.value = answer.data;
      this.took.value = answer.took;
      this.at.value = new Date();
      this.fault.value = null;
    });
  }

  #fail(reason: unknown): void {
    const fault = reason instanceof Fault ? reason : new Fault("gone", String(reason));
    this.fault.value = fault;
    if (fault.kind === "signed-out") lostSession();
    if (fault.kind === "missing" || fault.kind === "refused" || fault.kind === "signed-out") return;
    const step = BACK_OFF[Math.min(this.#failures, BACK_OFF.length - 1)] ?? 30;
    this.#failures += 1;
    const seconds = Math.max(fault.retryAfter ?? step, 1);
    this.retryAt.value = new Date(Date.now() + seconds * 1000);
    this.#retry = setTimeout(() => void this.load(), seconds * 1000);
  }

  #finish(): void {
    this.#abort = null;
    batch(() => {
      this.busy.value = false;
      this.slow.value = false;
    });
  }
}
