import { safe } from "./safe.ts";

/** Undoes an installation. */
export type Uninstall = () => void;

/**
 * Adds a guarded listener for each of the blank-separated event types and returns its removal.
 * In the capture phase the page cannot stop an event before we see it.
 */
export function listen<E extends Event>(
  target: EventTarget,
  types: string,
  fn: (event: E) => unknown,
  capture = true,
): Uninstall {
  const handler = safe(fn) as EventListener;
  const each = (verb: "addEventListener" | "removeEventListener"): void =>
    types.split(" ").forEach((type) => target[verb](type, handler, capture));
  each("addEventListener");
  return () => each("removeEventListener");
}
