/** Reads a line's message: terminal colours, JSON, logfmt, and how many lines it has. Pure. */

export interface Piece {
  text: string;
  /** A class for its colour, or an empty text. */
  class: string;
}

export interface Message {
  /** The line that says what happened, in its colours: the first one, of a traceback the exception. */
  pieces: Piece[];
  /** What JSON or logfmt names, in order; nested values as JSON. */
  fields: [string, string][];
  /** How many more lines there are. */
  more: number;
  /** All lines without terminal sequences, those of JSON's values included: where a search looks for what is not shown. */
  text: string;
}

const ANSI = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
// Control sequences (ECMA-48): ESC [ parameters, intermediates, a final byte.
const SEQUENCE = /\u001b\[([0-9;:]*)[ -/]*([@-~])/g;
const OTHER_ESCAPES = /\u001b(?:\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
const LOGFMT = /(?:^|\s)([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)/g;
const MESSAGE_KEYS = ["message", "msg", "event", "text", "log"];
/** Not repeated beside the message: the row already says them. */
const SHOWN_KEYS = new Set(["level", "lvl", "severity", "time", "timestamp", "ts", "@timestamp", "datetime"]);

/** The text without terminal sequences, for copying and searching. */
export function plain(text: string): string {
  return text.replace(SEQUENCE, "").replace(OTHER_ESCAPES, "");
}

/** Splits a text at colour changes. Sequences that are no colour are dropped. */
export function colours(text: string): Piece[] {
  const clean = text.replace(OTHER_ESCAPES, "");
  const pieces: Piece[] = [];
  let colour = "";
  let from = 0;
  const push = (part: string) => {
    if (part) pieces.push({ text: part, class: colour });
  };
  for (const found of clean.matchAll(SEQUENCE)) {
    push(clean.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") colour = nextColour(colour, found[1] ?? "");
  }
  push(clean.slice(from));
  return pieces;
}

function nextColour(now: string, parameters: string): string {
  let colour = now;
  const codes = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    // 38 and 48 take the colours of a larger palette: their parameters are no codes of their own.
    if (code === 38 || code === 48) at += codes[at + 1] === 5 ? 2 : 4;
    else if (code === 0 || code === 39) colour = "";
    else if (code >= 30 && code <= 37) colour = `ansi-${ANSI[code - 30]}`;
    else if (code >= 90 && code <= 97) colour = `ansi-${ANSI[code - 90]}`;
  }
  return colour;
}

const PYTHON_HEAD = /^(?:Exception Group )?Traceback \(most recent call last\):/;
const PYTHON_FRAME = /^\s+(?:\|\s+)*File "[^"]*", line \d/;

/** Which of several lines is the exception of a Python traceback; -1 when there is none. */
function exceptionAt(lines: readonly string[]): number {
  const frame = lines.findLastIndex((line) => PYTHON_FRAME.test(plain(line)));
  // An exception may have a text of many lines: the first after the frames has its name.
  return frame < 0 ? -1 : lines.findIndex((line, at) => at > frame && /^\S/.test(plain(line)));
}

/** The lines that stand for all: the first, and the exception it logs; of a bare traceback the exception alone. */
function telling(lines: readonly string[]): string[] {
  const first = (lines[0] ?? "").trimEnd();
  const exception = lines.length > 1 ? (lines[exceptionAt(lines)] ?? "").trimEnd() : "";
  if (!exception) return [first];
  const bare = PYTHON_HEAD.test(plain(first)) || /^\s/.test(plain(first));
  return bare ? [exception] : [first, exception];
}

export function parseMessage(text: string): Message {
  const clean = plain(text);
  const json = parseJson(clean);
  if (json) return json;
  const lines = text.trimEnd().split("\n");
  const shown = telling(lines);
  const pieces = shown.flatMap((line, at) => {
    const own = line.includes("\u001b") ? colours(line) : logfmtPieces(line);
    return at > 0 ? [{ text: " ", class: "" }, ...own] : own;
  });
  return { pieces, fields: fieldsOf(plain(shown[0]!)), more: lines.length - 1, text: clean };
}

/** What the row shows for a search: the usual text, or the line with the hit when the usual text has none. */
export function piecesFor({ pieces, more, text }: Message, pattern: RegExp | null): Piece[] {
  if (!pattern || text.search(pattern) < 0 || pieces.map((piece) => piece.text).join("").search(pattern) >= 0) return pieces;
  if (more === 0 && !text.includes("\n")) return pieces;
  const hit = text.search(pattern);
  const end = text.indexOf("\n", hit);
  return [{ text: text.slice(text.lastIndexOf("\n", hit) + 1, end < 0 ? undefined : end).trim(), class: "" }];
}

function parseJson(text: string): Message | null {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{") || !trimmed.endsWith("}")) return null;
  let value: unknown;
  try {
    value = JSON.parse(trimmed);
  } catch {
    return null;
  }
  const entries = Object.entries(value as Record<string, unknown>);
  const key = MESSAGE_KEYS.find((name) => entries.some(([other, said]) => other === name && typeof said === "string"));
  const fields = entries.filter(([name]) => name !== key).map(([name, said]): [string, string] => [name, typeof said === "string" ? said : JSON.stringify(said)]);
  const pieces: Piece[] = [];
  const message = key ? String((value as Record<string, unknown>)[key]).trimEnd() : "";
  const lines = message.split("\n");
  const first = telling(lines).join(" ");
  if (first) pieces.push({ text: first, class: "" });
  for (const [name, said] of fields) {
    if (SHOWN_KEYS.has(name)) continue;
    pieces.push({ text: `${pieces.length > 0 ? " " : ""}${name}=`, class: "f-key" }, { text: telling(said.trimEnd().split("\n")).join(" "), class: "f" });
  }
  return { pieces, fields, more: lines.length - 1, text: [message, ...fields.map(([, said]) => said)].join("\n") };
}

function fieldsOf(line: string): [string, string][] {
  return [...line.matchAll(LOGFMT)].filter(([, , said]) => said !== "").map(([, name = "", said = ""]) => [name, said.replace(/^"(.*)"$/, "$1")]);
}

/** Sets the keys and values of a logfmt line apart from its words. */
function logfmtPieces(line: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const found of line.matchAll(LOGFMT)) {
    const [all, name = "", said = ""] = found;
    const start = found.index + all.length - name.length - 1 - said.length;
    if (start > from) pieces.push({ text: line.slice(from, start), class: "" });
    pieces.push({ text: `${name}=`, class: "f-key" }, { text: said, class: "f" });
    from = found.index + all.length;
  }
  if (from < line.length) pieces.push({ text: line.slice(from), class: "" });
  return pieces;
}
