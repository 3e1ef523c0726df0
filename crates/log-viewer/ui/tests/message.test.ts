import assert from "node:assert/strict";
import { test } from "node:test";
import type { Line } from "../src/api";
import { addField, addTerm } from "../src/detail";
import { takes } from "../src/levels";
import { mergeLines } from "../src/lines";
import { barsBetween } from "@kit/pick-bars";
import { searchPattern } from "@kit/search";
import { colours, parseMessage, piecesFor, plain } from "../src/message";

const ESC = "\u001b";
const shown = (text: string) => parseMessage(text).pieces.map(({ text: piece, class: name }) => (name ? `[${name} ${piece}]` : piece)).join("");

test("colours of a terminal", () => {
  assert.deepEqual(colours(`${ESC}[32mGET${ESC}[0m /cart ${ESC}[1;91m500${ESC}[m`), [{ text: "GET", class: "ansi-green" }, { text: " /cart ", class: "" }, { text: "500", class: "ansi-red" }]);
  assert.deepEqual(colours(`${ESC}[38;5;196mred${ESC}[39m plain`), [{ text: "red", class: "" }, { text: " plain", class: "" }]);
  assert.equal(plain(`${ESC}[2J${ESC}]0;title\u0007a${ESC}[Kb${ESC}(`), `ab${ESC}(`);
});

test("JSON is its message and its fields", () => {
  const message = parseMessage('{"level":"info","msg":"cart loaded","user":8841,"items":[1,2]}\n');
  assert.equal(message.pieces.map(({ text }) => text).join(""), "cart loaded user=8841 items=[1,2]");
  assert.deepEqual(message.fields, [["level", "info"], ["user", "8841"], ["items", "[1,2]"]]);
  assert.equal(message.more, 0);
  assert.equal(parseMessage('{"message":"a\\nb\\nc"}').more, 2);
  assert.equal(shown("{not json}"), "{not json}");
});

test("logfmt sets keys and values apart", () => {
  assert.equal(shown('handled request method=GET uri="/a b" status=200'), 'handled request [f-key method=][f GET] [f-key uri=][f "/a b"] [f-key status=][f 200]');
  assert.deepEqual(parseMessage('method=GET uri="/a b" empty=').fields, [["method", "GET"], ["uri", "/a b"]]);
  assert.equal(shown("a == b, x=> y"), "a == b, [f-key x=][f >] y");
});

test("the first line is shown, the others are counted", () => {
  const message = parseMessage("OperationalError: x\nTraceback:\n  File\n\n");
  assert.equal(message.more, 2);
  assert.equal(message.pieces[0]?.text, "OperationalError: x");
});

const TRACEBACK = `Traceback (most recent call last):
  File "/app/a.py", line 3, in share
    share = total / len(carts)
            ~~~~~~^~~~~~~~~~~~
ZeroDivisionError: division by zero
`;

test("of a traceback the exception is shown", () => {
  const chained = `${TRACEBACK}
During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 9, in pay
    raise ValidationError(order)
ValidationError: 2 errors
price
  must be positive
`;
  const table: [string, string][] = [
    [TRACEBACK, "ZeroDivisionError: division by zero"],
    [chained, "ValidationError: 2 errors"],
    [TRACEBACK.slice(TRACEBACK.indexOf("\n") + 1), "ZeroDivisionError: division by zero"],
    [`ERROR:    Exception in ASGI application\n${TRACEBACK}`, "ERROR:    Exception in ASGI application ZeroDivisionError: division by zero"],
    [`${ESC}[31m${TRACEBACK.replace("ZeroDivisionError", `${ESC}[1;35mZeroDivisionError${ESC}[0m`)}`, "[ansi-magenta ZeroDivisionError]: division by zero"],
    ["Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in share\n    cut off", "Traceback (most recent call last):"],
    ["  indented\n  File of nothing\nlast", "  indented"],
    [JSON.stringify({ message: "failed", exc_info: TRACEBACK }), "failed[f-key  exc_info=][f ZeroDivisionError: division by zero]"],
  ];
  for (const [text, expected] of table) assert.equal(shown(text), expected, text);
  assert.equal(parseMessage(TRACEBACK).more, 4);
});

test("a hit that the row would hide is shown instead", () => {
  const of = (text: string, search: string) => piecesFor(parseMessage(text), searchPattern(search)).map(({ text: piece }) => piece).join("");
  assert.equal(of(TRACEBACK, "carts"), "share = total / len(carts)");
  assert.equal(of(TRACEBACK, "division carts"), "ZeroDivisionError: division by zero", "a hit is shown already");
  assert.equal(of(TRACEBACK, "elsewhere"), "ZeroDivisionError: division by zero");
  assert.equal(of(TRACEBACK, ""), "ZeroDivisionError: division by zero");
  assert.equal(of(JSON.stringify({ msg: "failed", exc_info: TRACEBACK }), "carts"), "share = total / len(carts)");
  assert.equal(of(`a\n${ESC}[31mred${ESC}[0m line`, "red"), "red line");
});

test("a long line is read in linear time", () => {
  const started = performance.now();
  parseMessage("a".repeat(60_000));
  parseMessage(`key="${"\\".repeat(60_000)}`);
  parseMessage(`${"a=".repeat(30_000)}`);
  parseMessage(`${ESC}[${";1".repeat(30_000)}`);
  parseMessage(`a\n${" | ".repeat(20_000)}\n${"\n".repeat(20_000)}${" ".repeat(60_000)}x`);
  assert.ok(performance.now() - started < 1500, `${performance.now() - started} ms`);
});

function line(id: number, time: string): Line {
  return { id, timestamp: time, time, container: "a", stream: "stdout", level: "INFO", message: "" };
}

test("lines come once and in order", () => {
  const now = [line(1, "2026-11-22T10:00:00.1Z"), line(2, "2026-11-22T10:00:02Z")];
  const merged = mergeLines(now, [line(4, "2026-11-22T10:00:03Z"), line(2, "2026-11-22T10:00:02Z"), line(3, "2026-11-22T10:00:01Z"), line(4, "2026-11-22T10:00:03Z")]);
  assert.deepEqual(merged?.merged.map(({ id }) => id), [1, 3, 2, 4]);
  assert.equal(merged?.added, 2);
  assert.equal(mergeLines(now, now), null);
});

test("level filters", () => {
  assert.ok(takes("", "DEBUG"));
  assert.ok(takes(">=WARNING", "ERROR"));
  assert.ok(!takes(">=WARNING", "INFO"));
  assert.ok(takes("INFO", "INFO"));
  assert.ok(!takes("INFO", "ERROR"));
});

test("a value is added to the search once, as a phrase", () => {
  assert.equal(addTerm("", "/api/v1"), '"/api/v1"');
  assert.equal(addTerm("timeout", 'a "b"'), 'timeout "a  b"');
  assert.equal(addTerm('"x"', "x"), '"x"');
});

test("a field is asked for by its name", () => {
  assert.equal(addField("", "status", "500"), "status:500");
  assert.equal(addField("slow", "http.path", "/api/v1?x=1 y"), 'slow http.path:"/api/v1?x=1 y"');
  assert.equal(addField("status:500", "status", "500"), "status:500");
  // What cannot be asked for is searched.
  assert.equal(addField("", "a b", "x"), '"x"');
  assert.equal(addField("", "list", "[1,2]"), '"[1,2]"');
  assert.match("status=500 path=/x y", searchPattern('status:500 path:"/x y"')!);
  assert.equal("path: x".search(searchPattern('path:"/x y"')!), -1);
});

test("a click takes one bar, a drag all that it touches", () => {
  assert.deepEqual(barsBetween(0.05, 0.05, 10), [0, 1]);
  assert.deepEqual(barsBetween(0.31, 0.12, 10), [1, 4]);
  assert.deepEqual(barsBetween(-1, 2, 10), [0, 10]);
  assert.deepEqual(barsBetween(1, 1, 10), [9, 10]);
});
