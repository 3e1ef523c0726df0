import * as lodash from "lodash-es";

// All of it, or it would be shaken off.
globalThis.lodash = { ...lodash };
