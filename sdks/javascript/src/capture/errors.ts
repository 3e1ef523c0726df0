import { listen, type Uninstall } from "../lib/listen.ts";
import { describeError, isErrorLike, type Described } from "../lib/stack.ts";

/** Hands a described error to the client. */
export type Report = (error: Described, context?: Record<string, unknown>) => void;

/** Reports uncaught exceptions. */
export function installErrors(report: Report): Uninstall {
  // The bubbling phase: images and scripts that fail to load are not errors of the program.
  return listen<ErrorEvent>(window, "error", ({ error, message, filename, lineno, colno }) => {
    const described = describeError(error, "Error");
    // Without an Error the event still knows the words of the browser and the place.
    if (!isErrorLike(error) && message) described.message = message;
    if (filename) described.stack ||= `    at ${filename}:${lineno}:${colno}`;
    report(described);
  }, false);
}

/** Reports rejections that nobody handles. */
export function installRejections(report: Report): Uninstall {
  return listen<PromiseRejectionEvent>(window, "unhandledrejection", ({ reason }) =>
    report(describeError(reason, "UnhandledRejection")),
  );
}
