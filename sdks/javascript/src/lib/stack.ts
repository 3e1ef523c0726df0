import { describe } from "./json.ts";

const MAX_CAUSES = 5;

// Frames of V8 and of the others, each with a line number.
const FRAME = /^[ \t]*at .*:\d+\)?$|^[^@\n]*@.+:\d+$/m;
// The name given by `named` and `patch`, in the function part of a frame.
const OWN = /^\s*at [^(/]*__monlight|^[^@/]*__monlight[^@/]*@/;

/** The first frame with a position: what tells two errors of the same message apart. */
export function topFrame(stack: string): string {
  return FRAME.exec(stack)?.[0].trim() || "";
}

/** Removes the SDK's frames from the stack of an error that passed through its wrappers. */
export function withoutOwnFrames(stack: string): string {
  return stack
    .split("\n")
    .filter((line) => !OWN.test(line))
    .join("\n");
}

/**
 * The frames below the SDK of an `Error` that the SDK has made, that is where the page called it.
 * There is no `Error` line on top: it would say nothing, and a message in it could pass for a frame.
 */
export function callerFrames(site: Error): string {
  const lines = (read(site, "stack") || "").split("\n");
  let first = 0;
  lines.forEach((line, index) => {
    if (OWN.test(line)) first = index + 1;
  });
  return first ? lines.slice(first).join("\n").trimEnd() : "";
}

/** Reads a text property of whatever was thrown; undefined when there is none or reading it fails. */
function read(value: unknown, key: string): string | undefined {
  try {
    const text = (value as Record<string, unknown>)[key];
    return typeof text === "string" ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a value looks like an error; those of other frames are no instances of our `Error`. */
export function isErrorLike(value: unknown): boolean {
  return read(value, "message") !== undefined;
}

/** What can be said about a thrown, rejected or captured value. */
export interface Described {
  type: string;
  message: string;
  stack: string;
}

/** Takes a thrown value apart; `fallbackType` is used for values without a name. */
export function describeError(value: unknown, fallbackType: string): Described {
  const message = read(value, "message");
  if (message === undefined) return { type: fallbackType, message: describe(value), stack: "" };
  return { type: read(value, "name") || fallbackType, message, stack: withoutOwnFrames(stackWithCauses(value)) };
}

/** The stack followed by those of `cause` and of the members of an `AggregateError`, each once. */
function stackWithCauses(error: unknown): string {
  const seen: unknown[] = [error];
  let text = read(error, "stack") || "";
  for (let i = 0; i < seen.length; i++) {
    try {
      const { cause, errors } = seen[i] as AggregateError;
      for (const inner of [cause, ...(Array.isArray(errors) ? errors : [])]) {
        if (inner == null || seen.includes(inner) || seen.length > MAX_CAUSES) continue;
        seen.push(inner);
        // Only V8 puts the message into the stack.
        const title = describe(inner);
        const stack = read(inner, "stack") || title;
        text += `\nCaused by: ${stack.includes(title) ? "" : title + "\n"}${stack}`;
      }
    } catch {
      // An unreadable cause is left out.
    }
  }
  return text;
}
