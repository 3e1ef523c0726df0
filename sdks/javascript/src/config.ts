import type { MonlightConfig, ResolvedConfig } from "./types.ts";

/** Checks the options and fills in the defaults. Throws when `dsn` or `endpoint` is missing. */
export function resolveConfig(config: MonlightConfig): ResolvedConfig {
  const { dsn, endpoint, sampleRate, enabled } = config || {};
  if (!dsn) throw new Error("[Monlight] 'dsn' is required");
  if (!endpoint) throw new Error("[Monlight] 'endpoint' is required");
  return {
    ...config,
    dsn: String(dsn),
    endpoint: String(endpoint).replace(/\/+$/, ""),
    sampleRate: sampleRate ?? 1,
    enabled: enabled ?? true,
  };
}
