/** What bundles that were given a debug id note when they start: a stack trace of that moment, and the id. */
type Notes = Record<string, string>;

const MAX_IDS = 32;
// The URL of the topmost frame, which is the bundle itself.
const SCRIPT = /\b[a-z][\w+.-]*:\S*?(?=:\d+:\d+\)?$)/im;

/** The debug ids of the scripts of a stack by their URLs, as these stand in it; undefined when there are none. */
export function debugIds(stack: string, scrub: (text: string) => string): Record<string, string> | undefined {
  // Quoted: names that begin with an underscore are our own and get shortened by the build.
  const notes = (globalThis as unknown as Record<string, Notes | undefined>)["_monlightDebugIds"];
  const ids: Record<string, string> = {};
  let count = 0;
  for (const [trace, id] of Object.entries(notes || {})) {
    const url = scrub(SCRIPT.exec(trace)?.[0] || "");
    if (url && stack.includes(url + ":") && count++ < MAX_IDS) ids[url] = id;
  }
  return count ? ids : undefined;
}
