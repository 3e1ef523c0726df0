// What a bundle says about itself: the comments at its end, and how it begins.

/** A comment such as `//# sourceMappingURL=app.js.map` at the end of a bundle. */
export interface Comment {
  value: string;
  /** Where its two slashes are. */
  at: number;
}

/** Blanks and comments, from `lastIndex` on. */
const BLANK = /(?:\s+|\/\/[^\n\r\u2028\u2029]*|\/\*[^]*?\*\/)*/y;

function skipBlank(code: string, at: number): number {
  BLANK.lastIndex = at;
  return at + BLANK.exec(code)![0].length;
}

/**
 * The last comment of a name. As ECMA-426 has it, it counts only when no code follows, so that a bundler's own text that
 * speaks of such comments is not taken for one.
 */
export function trailingComment(code: string, name: string): Comment | undefined {
  for (let end = code.length; end > 0; ) {
    const word = code.lastIndexOf(`${name}=`, end - 1);
    if (word < 0) return undefined;
    end = word;
    const at = word - 4;
    if (at < 0 || !/^\/\/[#@][ \t]$/.test(code.slice(at, word))) continue;
    const value = /^[^\s'"`]+(?=[ \t]*(?:[\r\n]|$))/.exec(code.slice(word + name.length + 1))?.[0];
    if (value !== undefined && skipBlank(code, at) === code.length) return { value, at };
  }
  return undefined;
}

/** Where the code begins: after a byte order mark and a `#!` line, which must stay in front. */
export function beginning(code: string): number {
  return /^\uFEFF?(?:#![^\n\r\u2028\u2029]*(?:\r\n|[\n\r\u2028\u2029]|$))?/.exec(code)![0].length;
}

/** What cannot begin a statement: after it, a text on the line before is no directive but part of an expression. */
const CONTINUES = /^(?!\+\+|--)(?:[-+*/%<>=!&|^?:.,([`]|in(?:stanceof)?\b)/;

/** Whether the directives at the beginning, if there are any, have `"use strict"` among them. */
export function isStrict(code: string): boolean {
  const text = /"((?:[^"\\\n\r]|\\[^])*)"|'((?:[^'\\\n\r]|\\[^])*)'/y;
  let at = skipBlank(code, beginning(code));
  for (;;) {
    text.lastIndex = at;
    const found = text.exec(code);
    if (!found) return false;
    const end = at + found[0].length;
    at = skipBlank(code, end);
    if (code[at] === ";") at = skipBlank(code, at + 1);
    else if (at < code.length) {
      const newLine = /[\n\r\u2028\u2029]/.test(code.slice(end, at));
      if (!newLine || CONTINUES.test(code.slice(at, at + 12))) return false;
    }
    if ((found[1] ?? found[2]) === "use strict") return true;
  }
}
