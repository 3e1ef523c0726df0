let debug = false;

/** Whether the SDK itself is writing to the console right now; such lines must not be captured. */
export let talking = false;

/** Turns the SDK's own warnings on; they stay on for the life of the page. */
export function enableDebug(): void {
  debug = true;
}

/** Tells the developer about a trouble of the SDK, in debug mode only. */
export function warn(text: string, detail: unknown): void {
  if (!debug) return;
  talking = true;
  try {
    console.warn(`[Monlight] ${text}`, detail);
  } catch {
    // A page may have broken its console; there is nobody left to tell.
  }
  talking = false;
}

/** Where faults of the SDK end: the page must not see them. */
export function fault(error: unknown): undefined {
  warn("Internal error:", error);
}

/**
 * Wraps a function so that it never throws: every entry from the page into the SDK goes through here.
 * After a fault it returns undefined.
 */
export function safe<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R | undefined {
  return (...args) => {
    try {
      return fn(...args);
    } catch (error) {
      return fault(error);
    }
  };
}
