import { init } from "./index.ts";
import type { MonlightClient, MonlightConfig } from "./types.ts";

declare global {
  interface Window {
    /** Options for the automatic start; must be set before the script runs. */
    MonlightConfig?: MonlightConfig;
    /** The client of the automatic start. */
    Monlight?: MonlightClient;
  }
}

/** Starts the SDK by `window.MonlightConfig`, if a page has set it before the script runs. */
export function autoInit(): void {
  if (typeof window !== "object" || !window.MonlightConfig) return;
  try {
    window.Monlight = init(window.MonlightConfig);
  } catch (fault) {
    console.error("[Monlight] Auto-init failed:", fault);
  }
}
