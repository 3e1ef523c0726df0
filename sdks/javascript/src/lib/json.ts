/** Bodies stay below this: browsers allow 64 KiB of keepalive data, the relay as much per request. */
export const MAX_BODY_BYTES = 60_000;

const MARK = "…[truncated]";
const MAX_DEPTH = 8;

/** Shortens a text to `max` UTF-16 units with a visible mark, and replaces lone surrogates. */
export function cut(text: string, max: number): string {
  // With the u flag a surrogate pair is one character, so that only lone halves match.
  return (text.length > max ? text.slice(0, max) + MARK : text).replace(/[\uD800-\uDFFF]/gu, "\uFFFD");
}

/**
 * Copies any value into one that JSON can hold: no cycles, BigInts or throwing getters, strings of
 * at most `max` units, at most `max / 8` values in all, eight levels deep.
 */
export function plain(value: unknown, max: number): unknown {
  let left = max / 8;
  const path: unknown[] = [];

  const visit = (item: any): unknown => {
    left--;
    if (typeof item === "bigint") item = String(item);
    if (typeof item === "string") return cut(item, max);
    if (typeof item !== "object" || !item) return item;
    if (path.includes(item)) return "[circular]";
    if (path.length > MAX_DEPTH) return MARK;
    path.push(item);
    try {
      if (typeof item.toJSON === "function") return visit(item.toJSON());
      if (item instanceof Error) return visit(`${item.name}: ${item.message}`);
      if (ArrayBuffer.isView(item)) return "[binary]";
      if (Array.isArray(item)) {
        const list: unknown[] = [];
        for (const member of item) {
          if (left <= 0) {
            list.push(MARK);
            break;
          }
          list.push(visit(member));
        }
        return list;
      }
      const copy: Record<string, unknown> = {};
      for (const key of Object.keys(item)) {
        if (left <= 0) {
          copy[MARK] = true;
          break;
        }
        copy[cut(key, max)] = visit(item[key]);
      }
      return copy;
    } catch {
      return "[unreadable]";
    } finally {
      path.pop();
    }
  };

  return visit(value);
}

/** Length of a text in UTF-8. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Serialises a value, cutting its parts ever shorter until it fits into {@link MAX_BODY_BYTES}. */
export function encode(value: unknown): string {
  for (let max = 16_384; ; max /= 2) {
    const body = JSON.stringify(plain(value, max));
    // At 256 units and 32 values even text that is all escapes (6 bytes each) fits.
    if (max <= 256 || byteLength(body) <= MAX_BODY_BYTES) return body;
  }
}

/** Puts any value into words, for messages. Never throws. */
export function describe(value: unknown): string {
  let text = "[object Object]";
  try {
    text = String(value);
  } catch {
    // An object without a usable toString is shown as JSON.
  }
  if (!text.includes("[object")) return text;
  const json = JSON.stringify(plain(value, 1024)) || "{}";
  return json === "{}" ? text : cut(json, 1024);
}
