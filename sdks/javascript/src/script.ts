// Entry of the bundle for script tags: the global `MonlightSDK`, and the automatic start.
import { autoInit } from "./auto.ts";
import { init } from "./index.ts";

(globalThis as unknown as { MonlightSDK: object }).MonlightSDK = { init };

autoInit();
