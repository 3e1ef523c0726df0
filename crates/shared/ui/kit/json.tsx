/** JSON, laid out and coloured. */
import type { ComponentChildren } from "preact";
import { Hostile } from "./text";

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

/** A value as indented JSON. */
export function Json({ value, label }: { value: unknown; label: string }) {
  const text = JSON.stringify(value, null, 2) ?? "null";
  return (
    <pre class="code boxed" tabIndex={0} aria-label={label}>
      <code>{colour(text)}</code>
    </pre>
  );
}

function colour(text: string): ComponentChildren[] {
  const pieces: ComponentChildren[] = [];
  let from = 0;
  for (const found of text.matchAll(TOKEN)) {
    if (found.index > from) pieces.push(text.slice(from, found.index));
    const [all, quoted, colon] = found;
    pieces.push(
      <i key={found.index} class={quoted ? (colon ? "c-key" : "c-text") : "c-num"}>
        <Hostile text={quoted ?? all} />
      </i>,
    );
    if (colon) pieces.push(colon);
    from = found.index + all.length;
  }
  pieces.push(text.slice(from));
  return pieces;
}
