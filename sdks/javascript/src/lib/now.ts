/** Milliseconds since the navigation started; never runs backwards. */
export function now(): number {
  return performance.now();
}
