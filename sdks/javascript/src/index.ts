import { createCore, NOOP } from "./client.ts";
import { checkConfig, resolveConfig } from "./config.ts";
import { enableDebug, safe } from "./lib/safe.ts";
import type { MonlightClient, MonlightConfig } from "./types.ts";

export type { BrowserError, BrowserMetric, MonlightClient, MonlightConfig, ResolvedConfig } from "./types.ts";

/**
 * What is installed in this page, by `<address of the relay's API> <dsn>`. It hangs on the window,
 * so that two copies of the SDK know of each other.
 */
type Registry = Map<string, () => MonlightClient>;

const REGISTRY = Symbol.for("@monlight/browser");

const open = safe((options: MonlightConfig): MonlightClient | undefined => {
  const config = resolveConfig(options);
  if (!config.enabled || typeof window !== "object" || typeof document !== "object") return undefined;
  if (config.debug) enableDebug();
  const registry: Registry = ((window as unknown as Record<symbol, Registry>)[REGISTRY] ||= new Map());
  const key = `${new URL(config.endpoint + "/api/browser/", document.baseURI).href} ${config.dsn}`;
  const isOwn = (url: string): boolean => [...registry.keys()].some((own) => url.startsWith(own.split(" ")[0]!));
  let clients = registry.get(key);
  if (!clients) {
    clients = createCore(config, isOwn, () => registry.delete(key));
    registry.set(key, clients);
  }
  return clients();
});

/**
 * Starts monitoring this page and returns the client.
 *
 * A second call with the same `dsn` and `endpoint` returns another client of what already runs; its
 * other options have no effect. Outside of a page, as in server-side rendering, the client does
 * nothing.
 *
 * @throws Error when `dsn` or `endpoint` is missing; nothing else is ever thrown into the page.
 */
export function init(config: MonlightConfig): MonlightClient {
  checkConfig(config);
  return open(config) || NOOP;
}
