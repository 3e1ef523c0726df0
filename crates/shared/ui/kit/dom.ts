/** Small things of the browser that several parts need. */
import { signal } from "@preact/signals";
import { toast } from "./toast";

/** The moment by which ages are shown. It moves every 5 seconds while the page is seen. */
export const now = signal(new Date());

export function startClock(): void {
  const tick = () => {
    if (!document.hidden) now.value = new Date();
  };
  setInterval(tick, 5000);
  document.addEventListener("visibilitychange", tick);
}

/** True where a row of buttons has become a column: the layout for a phone. */
export const narrow = signal(false);

export function watchWidth(): void {
  const query = matchMedia("(max-width: 720px)");
  const update = () => {
    narrow.value = query.matches;
  };
  query.addEventListener("change", update);
  update();
}

/** Puts a text on the clipboard and says so. `what` completes "… copied". */
export async function copy(text: string, what: string): Promise<void> {
  toast((await toClipboard(text)) ? `${what} copied` : "The browser did not let the page copy");
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Outside of https and localhost there is no clipboard API, only the old command.
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.className = "sr-only";
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

/** Hands a text to the reader as a file. */
export function download(name: string, text: string, type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
