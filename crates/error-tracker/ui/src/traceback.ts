/**
 * Reads the frames out of a traceback's text, as Python and JavaScript write them. What it does not
 * know stays text: the page then shows the traceback as it came.
 */

export interface Frame {
  fn: string;
  file: string;
  line: number;
  column: number | null;
  /** The source line, when the text has it. */
  code: string | null;
  /** The part of `code` that failed, as [start, end), when the text marks it. */
  mark: [number, number] | null;
  /** The lines before `code` and those after it, indented as `code` is, when they are known. */
  before?: readonly string[];
  after?: readonly string[];
  /** Of a library or of the language, not of the app. */
  lib: boolean;
  /** Where it is in the code the browser ran, when this is the place in the source it was made from. */
  minified: { file: string; line: number; column: number; fn: string } | null;
  /** Why the place in the source is not known, although it was looked for. */
  unmapped: string | null;
}

/** One exception with its frames, the innermost (where it was raised) first. */
export interface Raised {
  /** `TypeError: …`, when the text names it. */
  title: string;
  /** How it led to the one above it: `caused by` or `while handling`. Null for the first. */
  link: string | null;
  frames: Frame[];
}

const PYTHON_FRAME = /^\s*(?:\|\s*)*File "(.+?)", line (\d+)(?:, in (.+))?$/;
const PYTHON_CARETS = /^\s*[~^]+\s*$/;
const PYTHON_DIRECT = "The above exception was the direct cause of the following exception:";
const PYTHON_DURING = "During handling of the above exception, another exception occurred:";
// V8: "at fn (file:1:2)" and "at file:1:2". Firefox and Safari: "fn@file:1:2".
const V8_FRAME = /^\s*at (?:(async )?(.*?) \()?((?:[^\s():]+:\/\/|\/|[A-Za-z]:[\\/]|node:|<)?[^\s()]*?):(\d+):(\d+)\)?$/;
const GECKO_FRAME = /^\s*([^@\s]*)@(\S+?):(\d+):(\d+)$/;
const LIBRARY = /(?:^|[/\\])(?:site-packages|dist-packages|node_modules)[/\\]|[/\\]lib[/\\]python\d|^<frozen |^node:|^internal\/|webpack\/bootstrap|[/\\]monlight[/\\]integrations[/\\]/;

export function isLibrary(file: string): boolean {
  return LIBRARY.test(file);
}

/** The exceptions of a traceback, the one that was reported first. Empty when no frame was found. */
export function parseTraceback(text: string): Raised[] {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const raised = lines.some((line) => PYTHON_FRAME.test(line)) ? parsePython(lines) : parseJavaScript(lines);
  return raised.filter(({ frames }) => frames.length > 0);
}

function parsePython(lines: string[]): Raised[] {
  const found: Raised[] = [];
  let current: Raised = { title: "", link: null, frames: [] };
  let link: string | null = null;
  lines.forEach((line, at) => {
    if (line.trim() === PYTHON_DIRECT || line.trim() === PYTHON_DURING) {
      link = line.trim() === PYTHON_DIRECT ? "caused by" : "while handling";
      // The link is of the exception above, which led to the one that follows.
      current.link = link;
      found.unshift(current);
      current = { title: "", link: null, frames: [] };
      return;
    }
    const head = PYTHON_FRAME.exec(line);
    if (head) {
      current.frames.unshift(pythonFrame(head, lines.slice(at + 1, at + 3)));
    } else if (current.frames.length > 0 && /^[A-Za-z_][\w.]*(?:$|:)/.test(line) && !line.startsWith("Traceback")) {
      current.title ||= line.trim();
    }
  });
  found.unshift(current);
  return found;
}

function pythonFrame(head: RegExpExecArray, after: string[]): Frame {
  const [, file = "", line = "0", fn = "<module>"] = head;
  const [next = "", carets = ""] = after;
  const hasCode = /^\s{2,}\S/.test(next) && !PYTHON_FRAME.test(next) && !PYTHON_CARETS.test(next);
  const indent = next.length - next.trimStart().length;
  let mark: [number, number] | null = null;
  if (hasCode && PYTHON_CARETS.test(carets)) {
    const strong = carets.includes("^") ? "^" : "~";
    mark = [Math.max(0, carets.indexOf(strong) - indent), Math.max(0, carets.lastIndexOf(strong) + 1 - indent)];
  }
  return { fn, file, line: Number(line), column: null, code: hasCode ? next.trim() : null, mark, lib: isLibrary(file), minified: null, unmapped: null };
}

function parseJavaScript(lines: string[]): Raised[] {
  const found: Raised[] = [{ title: "", link: null, frames: [] }];
  for (const line of lines) {
    const frame = javaScriptFrame(line);
    const current = found.at(-1)!;
    if (frame) current.frames.push(frame);
    else if (/^\s*(?:\[cause\]:|Caused by:)/.test(line)) {
      found.push({ title: line.replace(/^\s*(?:\[cause\]:|Caused by:)\s*/, "").replace(/\s*\{$/, ""), link: "caused by", frames: [] });
    } else if (current.frames.length === 0 && line.trim() && !current.title) current.title = line.trim();
  }
  return found;
}

function javaScriptFrame(line: string): Frame | null {
  const v8 = V8_FRAME.exec(line);
  if (v8) return place(v8[2] ?? "", v8[3] ?? "", v8[4]!, v8[5]!);
  const gecko = GECKO_FRAME.exec(line);
  return gecko ? place(gecko[1] ?? "", gecko[2] ?? "", gecko[3]!, gecko[4]!) : null;
}

function place(fn: string, file: string, line: string, column: string): Frame {
  return { fn: fn || "<anonymous>", file, line: Number(line), column: Number(column), code: null, mark: null, lib: isLibrary(file), minified: null, unmapped: null };
}

/** One frame to show, or a run of library frames that is folded. */
export type Row = { kind: "frame"; frame: Frame } | { kind: "lib"; frames: Frame[]; of: string };

/** Folds runs of library frames, unless there is nothing but library frames. */
export function foldFrames(frames: readonly Frame[]): Row[] {
  if (frames.every(({ lib }) => lib)) return frames.map((frame) => ({ kind: "frame", frame }));
  const rows: Row[] = [];
  for (const frame of frames) {
    const last = rows.at(-1);
    if (!frame.lib) rows.push({ kind: "frame", frame });
    else if (last?.kind === "lib" && last.of === packageOf(frame.file)) last.frames.push(frame);
    else rows.push({ kind: "lib", frames: [frame], of: packageOf(frame.file) });
  }
  return rows;
}

/** The package a library file belongs to: `starlette`, `@scope/name`, `node`, `python`. */
export function packageOf(file: string): string {
  const inPackages = /(?:^|[/\\])(?:site-packages|dist-packages|node_modules)[/\\](@[^/\\]+[/\\][^/\\]+|[^/\\]+)/.exec(file);
  if (inPackages?.[1]) return inPackages[1].replace("\\", "/").replace(/\.py$/, "");
  if (/^node:|^internal\//.test(file)) return "node";
  if (/[/\\]monlight[/\\]integrations[/\\]/.test(file)) return "monlight";
  return /python\d|^<frozen /.test(file) ? "python" : "a library";
}

/** A frame's place without what all files of an app have in common: addresses lose their origin. */
export function shortFile(file: string): string {
  return file.replace(/^(?:https?|webpack|file|app):\/\/(?:[^/]*\/)?/, "").replace(/^\.\//, "") || file;
}
