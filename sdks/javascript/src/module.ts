// Entry of the ES module.
import { autoInit } from "./auto.ts";

export * from "./index.ts";

autoInit();
