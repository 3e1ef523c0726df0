import { describe } from "../lib/json.ts";
import type { Uninstall } from "../lib/listen.ts";
import { patch } from "../lib/patch.ts";
import { talking } from "../lib/safe.ts";
import { callerFrames, describeError } from "../lib/stack.ts";
import type { Report } from "./errors.ts";

/** Reports what the page writes with one method of the console as errors of the given type. */
export function installConsole(report: Report, method: "error" | "warn", type: string): Uninstall {
  return patch(console, method, (_self, args) => {
    if (talking) return undefined;
    const site = new Error();
    // The console comes first: what the developer reads must not depend on us.
    return () => {
      const logged = args.find((arg) => arg instanceof Error);
      report({
        type,
        message: args.map(describe).join(" "),
        stack: (logged && describeError(logged, type).stack) || callerFrames(site),
      });
    };
  });
}
