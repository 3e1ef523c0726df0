import { now } from "./now.ts";

const enum Limit {
  WindowMs = 60_000,
  PerWindow = 50,
}

/** Why an error is not sent; "" when it may go. */
export type Verdict = "" | "duplicate" | "rate_limit";

/**
 * Decides which errors go out: each key once in 60 s, and at most 50 in 60 s whatever their keys
 * (which bounds the memory too).
 */
export function createLimiter(): (key: string) => Verdict {
  const sent = new Map<string, number>();
  return (key) => {
    const time = now();
    // The map is in the order of sending, so that the old ones are in front.
    for (const [old, when] of sent) {
      if (time - when < Limit.WindowMs) break;
      sent.delete(old);
    }
    if (sent.has(key)) return "duplicate";
    if (sent.size >= Limit.PerWindow) return "rate_limit";
    sent.set(key, time);
    return "";
  };
}
