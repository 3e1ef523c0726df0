/**
 * The state of a page is its URL. The root of the service is where its script came from, so the
 * pages work at `/`, below a path of a reverse proxy, and at `/errors/5` alike.
 */
import { computed, signal } from "@preact/signals";

export interface Place {
  /** Below the root, without a leading slash: `` or `errors/5`. */
  path: string;
  /** Without the question mark. */
  query: string;
}

/** The folder of the bundle: `https://host/`, or `https://host/monlight/errors/`. */
export const root = new URL(".", import.meta.url);

/** What of `pathname` lies below `rootPath`. */
export function below(pathname: string, rootPath: string): string {
  const path = pathname.startsWith(rootPath) ? pathname.slice(rootPath.length) : "";
  return path === "index.html" ? "" : path;
}

/** `query` with some keys set anew; null or an empty text takes a key out. */
export function withQuery(query: string, changes: Record<string, string | null | undefined>): string {
  const params = new URLSearchParams(query);
  for (const [key, value] of Object.entries(changes)) {
    if (value == null || value === "") params.delete(key);
    else params.set(key, value);
  }
  // Slashes, colons and commas are legal in a query and are easier to read as they are.
  return params.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
}

function read(): Place {
  if (typeof location === "undefined") return { path: "", query: "" };
  return { path: below(location.pathname, root.pathname), query: location.search.slice(1) };
}

/** Where the reader is. Only the functions below change it. */
export const place = signal<Place>(read());
const params = computed(() => new URLSearchParams(place.value.query));

/** A parameter of the URL, or an empty text. Reading it in a component subscribes to it. */
export function param(key: string): string {
  return params.value.get(key) ?? "";
}

/** The address of a place in this service, for `href`. */
export function href(path: string, query = ""): string {
  return root.pathname + path + (query ? `?${query}` : "");
}

/** Goes to a place. Typing replaces the entry in the history, everything else adds one. */
export function go(path: string, query = "", replace = false): void {
  const next = { path, query };
  const now = place.peek();
  if (now.path === path && now.query === query) return;
  history[replace ? "replaceState" : "pushState"](null, "", href(path, query));
  place.value = next;
}

/** Changes parameters of the page the reader is on. */
export function setParams(changes: Record<string, string | null | undefined>, replace = false): void {
  const now = place.peek();
  go(now.path, withQuery(now.query, changes), replace);
}

/** Follows the buttons of the browser. Called once, when the page starts. */
export function followHistory(): void {
  addEventListener("popstate", () => {
    place.value = read();
  });
  // A plain click on a link of this service changes the page without loading it anew.
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[data-go]");
    if (!(link instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    const target = new URL(link.href);
    go(below(target.pathname, root.pathname), target.search.slice(1));
  });
}
