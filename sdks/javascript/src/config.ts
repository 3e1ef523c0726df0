import type { MonlightConfig, ResolvedConfig } from "./types.ts";

/** Throws when `dsn` or `endpoint` is missing. */
export function checkConfig(config: MonlightConfig): void {
  for (const name of ["dsn", "endpoint"] as const) {
    if (!config?.[name]) throw new Error(`[Monlight] '${name}' is required`);
  }
}

/** Fills in the defaults. */
export function resolveConfig(config: MonlightConfig): ResolvedConfig {
  return {
    ...config,
    dsn: String(config.dsn),
    endpoint: String(config.endpoint).replace(/\/+$/, ""),
    sampleRate: config.sampleRate ?? 1,
    enabled: config.enabled ?? true,
  };
}
