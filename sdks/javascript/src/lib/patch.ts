import type { Uninstall } from "./listen.ts";
import { safe } from "./safe.ts";

type Fn = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Runs before the original function. A function it returns gets the original's result afterwards
 * and may replace it by another truthy value.
 */
export type Hook = (self: unknown, args: unknown[]) => void | ((result: unknown) => unknown);

/** Wrappers that are switched off, with what they wrapped. */
const retired = new WeakMap<Fn, Fn>();

/**
 * Gives a function the one name by which `lib/stack.ts` knows the SDK's frames. The name comes from
 * a property key, so minifiers leave it alone.
 */
export function named<A extends unknown[]>(fn: (...args: A) => void): (...args: A) => void {
  const holder = {
    __monlight(...args: A): void {
      fn(...args);
    },
  };
  return holder.__monlight;
}

/**
 * Wraps a method in place. The original is called with the very arguments and receiver, whatever
 * happens in the hook.
 *
 * Others may wrap the same method before and after us. On removal our wrapper is taken out when it
 * is the outermost one; otherwise it stays as a mere pass-through and goes as soon as the wrapper
 * above it, if that is ours, is removed too.
 */
export function patch(target: object | undefined, name: string, hook: Hook): Uninstall {
  const methods = Object(target) as Record<string, Fn>;
  const original = methods[name]!;
  if (typeof original !== "function") return () => {};
  const before = safe(hook);
  const holder = {
    __monlight(this: unknown, ...args: unknown[]): unknown {
      const after = !retired.has(wrapper) && before(this, args);
      const result = original.apply(this, args);
      return (after && safe(after)(result)) || result;
    },
  };
  const wrapper: Fn = holder.__monlight;
  methods[name] = wrapper;
  return () => {
    retired.set(wrapper, original);
    while (retired.has(methods[name]!)) methods[name] = retired.get(methods[name]!)!;
  };
}
