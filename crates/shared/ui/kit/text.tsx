/** Texts that strangers wrote, and times. */
import type { ComponentChildren } from "preact";
import { copy, now } from "./dom";
import { fullTime, since } from "./format";

/**
 * Characters that change how the text around them looks without being seen themselves:
 * controls, zero-width and bidirectional marks (Unicode TR 36, "bidirectional text spoofing").
 */
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Splits a text into plain pieces and hidden characters; a hidden one stands alone. */
export function splitHidden(text: string): { text: string; hidden: boolean }[] {
  const pieces: { text: string; hidden: boolean }[] = [];
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > from) pieces.push({ text: text.slice(from, found.index), hidden: false });
    pieces.push({ text: found[0], hidden: true });
    from = found.index + found[0].length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from), hidden: false });
  return pieces;
}

/** `U+202E`. */
export function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A text as it is, with what would hide in it shown as marked code points. */
export function Hostile({ text }: { text: string }): ComponentChildren {
  if (text.search(HIDDEN) < 0) return <>{text}</>;
  return (
    <>
      {splitHidden(text).map((piece, at) =>
        piece.hidden ? (
          <span class="code-point" key={at}>
            {codePoint(piece.text)}
          </span>
        ) : (
          piece.text
        ),
      )}
    </>
  );
}

/** A moment relative to now; the tool tip has the whole truth and a click copies it. */
export function Ago({ time, suffix = "" }: { time: Date; suffix?: string }) {
  const text = since(time, now.value);
  const relative = !text.includes(":");
  return (
    <time dateTime={time.toISOString()} title={fullTime(time)} onDblClick={() => void copy(time.toISOString(), "Time")}>
      {text}
      {relative && suffix}
    </time>
  );
}

/** Text with the stretches that `pattern` finds marked. */
export function Marked({ text, pattern }: { text: string; pattern: RegExp | null }): ComponentChildren {
  if (!pattern) return <Hostile text={text} />;
  const pieces: ComponentChildren[] = [];
  let from = 0;
  for (const found of text.matchAll(pattern)) {
    if (!found[0]) continue;
    if (found.index > from) pieces.push(<Hostile key={from} text={text.slice(from, found.index)} />);
    pieces.push(
      <mark key={`m${found.index}`}>
        <Hostile text={found[0]} />
      </mark>,
    );
    from = found.index + found[0].length;
  }
  if (from < text.length) pieces.push(<Hostile key={from} text={text.slice(from)} />);
  return <>{pieces}</>;
}
