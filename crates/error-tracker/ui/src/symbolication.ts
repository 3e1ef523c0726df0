/**
 * Reads what the browser relay found out about the frames of a stack, `extra.symbolication`, and puts it beside the
 * frames of the traceback. Pure.
 */
import type { Json } from "./api";
import { type Frame, isLibrary, parseTraceback, type Raised, shortFile } from "./traceback";

export interface Symbolication {
  /** In the order of the stack. */
  frames: Frame[];
  /** Why nothing was looked up at all. */
  reason: string | null;
}

type Members = { [key: string]: Json };

function members(value: Json | undefined): Members | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}

const isText = (value: Json | undefined): value is string => typeof value === "string" && value !== "";
const isNumber = (value: Json | undefined): value is number => typeof value === "number";

/** `{"frames": [...], "reason"?}`; null for anything else, which is then no more than a part of the context. */
export function readSymbolication(extra: Json | undefined): Symbolication | null {
  const said = members(members(extra)?.["symbolication"]);
  const items = said?.["frames"];
  if (!said || !Array.isArray(items)) return null;
  const frames = items.map(readFrame);
  const reason = isText(said["reason"]) ? said["reason"] : null;
  if (frames.some((frame) => frame === null) || (frames.length === 0 && reason === null)) return null;
  return { frames: frames as Frame[], reason };
}

function readFrame(item: Json): Frame | null {
  const mapped = members(item);
  const minified = members(mapped?.["minified"]);
  if (!mapped || !minified) return null;
  const { file: bundle, line: bundleLine, column: bundleColumn, function: bundleFn } = minified;
  if (!isText(bundle) || !isNumber(bundleLine) || !isNumber(bundleColumn)) return null;
  const engineFn = isText(bundleFn) ? bundleFn : "<anonymous>";
  const { file, line, column, function: fn, source, reason, in_app: inApp } = mapped;
  if (isText(reason)) {
    return { fn: engineFn, file: bundle, line: bundleLine, column: bundleColumn, code: null, mark: null, lib: isLibrary(bundle), minified: null, unmapped: reason };
  }
  if (!isText(file) || !isNumber(line) || !isNumber(column)) return null;
  const lines = linesAround(mapped, line) ?? { before: [], text: isText(source) ? source : "", after: [] };
  // The least indentation of them all goes.
  const indent = Math.min(...[...lines.before, lines.text, ...lines.after].filter((text) => text.trim()).map((text) => text.length - text.trimStart().length));
  const cut = (text: string) => text.slice(indent).trimEnd();
  const code = cut(lines.text);
  return {
    fn: isText(fn) ? fn : engineFn,
    file,
    line,
    column,
    code: code || null,
    mark: markAt(code, column - 1 - indent),
    before: lines.before.map(cut),
    after: lines.after.map(cut),
    // The source map may say it of files whose names do not.
    lib: inApp === false || isLibrary(file),
    minified: { file: bundle, line: bundleLine, column: bundleColumn, fn: engineFn },
    unmapped: null,
  };
}

interface Lines {
  before: string[];
  text: string;
  after: string[];
}

/** `context`, which begins at line `context_line`, parted at the line of the frame; null when that is not in it. */
function linesAround({ context, context_line: first }: Members, line: number): Lines | null {
  if (!Array.isArray(context) || !isNumber(first) || !context.every((text) => typeof text === "string")) return null;
  const text = context[line - first];
  return text === undefined ? null : { before: context.slice(0, line - first), text, after: context.slice(line - first + 1) };
}

/** The word at a place of a line, or the one character that stands there. */
function markAt(code: string, at: number): [number, number] | null {
  if (at < 0 || at >= code.length) return null;
  const word = /[\p{L}\p{N}_$]+|./uy;
  word.lastIndex = at;
  const found = word.exec(code);
  return found ? [at, at + found[0].length] : null;
}

/**
 * The exceptions of a traceback with what is known about their frames. The relay describes the first frames of the
 * whole text in order, causes included; what it does not describe stays as the text has it.
 */
export function symbolicate(traceback: string, known: readonly Frame[]): Raised[] {
  const raised = parseTraceback(traceback);
  let next = 0;
  let met = 0;
  const merged = raised.map((exception) => ({
    ...exception,
    frames: exception.frames.flatMap((frame) => {
      const at = known.findIndex((one, index) => index >= next && samePlace(one, frame));
      if (at < 0) return [frame];
      // Frames between two of the text are of a form that the text's reader does not know.
      const found = known.slice(next, at + 1);
      next = at + 1;
      met += 1;
      return found;
    }),
  }));
  const last = merged.at(-1);
  if (!last || met === 0) return known.length > 0 ? [{ title: raised[0]?.title ?? "", link: null, frames: [...known] }] : raised;
  last.frames.push(...known.slice(next));
  return merged;
}

function samePlace(left: Frame, right: Frame): boolean {
  return left.line === right.line && left.column === right.column && left.file === right.file;
}

/** `app.4f2c9e17.js:1:48213`. */
export function placeText({ file, line, column }: Pick<Frame, "file" | "line" | "column">): string {
  return `${shortFile(file)}:${line}${column === null ? "" : `:${column}`}`;
}

/** The frames as text for a ticket: function, place, the line of source. */
export function framesText(raised: readonly Raised[]): string {
  const lines = raised.flatMap(({ title, link, frames }) => [
    ...(link || title ? [`${link ? `${link}: ` : ""}${title}`] : []),
    ...frames.flatMap((frame) => [`    at ${frame.fn} (${placeText(frame)})${frame.unmapped ? `, not mapped: ${frame.unmapped}` : ""}`, ...(frame.code ? [`        ${frame.code.trim()}`] : [])]),
  ]);
  return lines.join("\n");
}
