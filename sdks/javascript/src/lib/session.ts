const KEY = "monlight_session_id";

let current = "";

/** A random UUID v4, also where `crypto.randomUUID` is missing (pages without TLS). */
export function uuid(): string {
  try {
    return crypto.randomUUID();
  } catch {
    return "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) =>
      (+digit ^ ((Math.random() * 16) >> (+digit / 4))).toString(16),
    );
  }
}

/**
 * The session of this tab, kept in `sessionStorage`. Where storage is blocked the id lives as long
 * as the page.
 */
export function sessionId(): string {
  if (current) return current;
  try {
    current = sessionStorage.getItem(KEY) || "";
  } catch {
    // Blocked or missing storage.
  }
  if (!/^[\w-]{1,64}$/.test(current)) {
    current = uuid();
    try {
      sessionStorage.setItem(KEY, current);
    } catch {
      // As above.
    }
  }
  return current;
}
