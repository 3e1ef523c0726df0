/** What a page shows before anything was ever sent: the lines that send something, and that it waits for it. */
import type { ComponentChildren } from "preact";
import { copy } from "./dom";
import { Icon } from "./icons";
import { interval } from "./live";
import { root } from "./url";

/** Where clients of this service send to. */
export function serviceUrl(): string {
  return root.href.replace(/\/$/, "");
}

const PYTHON = /("[^"]*")|\b(from|import|try|except|as)\b/g;

export function FirstRun({ title, code }: { title: string; code: string }) {
  return (
    <section class="first-run">
      <div class="sec-head">
        <h2>{title}</h2>
        <button class="btn quiet mini end" type="button" onClick={() => void copy(code, "Example")}>
          <Icon name="copy" small />
          Copy
        </button>
      </div>
      <pre class="code" tabIndex={0} aria-label="Example in Python">
        <code>{coloured(code)}</code>
      </pre>
      <p>
        <span class={`live-dot${interval().every ? "" : " off"}`} />
        {interval().every ? "Waiting. This page fills by itself." : "Live is off: reload to look again."}
      </p>
    </section>
  );
}

function coloured(code: string): ComponentChildren[] {
  const pieces: ComponentChildren[] = [];
  let from = 0;
  for (const found of code.matchAll(PYTHON)) {
    pieces.push(
      code.slice(from, found.index),
      <i key={found.index} class={found[1] ? "c-text" : "c-key"}>
        {found[0]}
      </i>,
    );
    from = found.index + found[0].length;
  }
  return [...pieces, code.slice(from)];
}
