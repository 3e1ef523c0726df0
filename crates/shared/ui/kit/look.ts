/** Light or dark, navigation wide or folded: the choices the browser keeps. */
import { signal } from "@preact/signals";

function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** What is shown now, for the icon of the switch and for charts, which paint with resolved colours. */
export const dark = signal(typeof document === "undefined" ? false : isDark());
export const folded = signal(typeof document !== "undefined" && document.documentElement.dataset.side === "folded");

/** Follows the system while nothing was chosen. Called once. */
export function watchTheme(): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    dark.value = isDark();
  });
}

export function switchTheme(): void {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keep("monlight.theme", theme);
  dark.value = theme === "dark";
}

export function switchSide(): void {
  folded.value = !folded.peek();
  const page = document.documentElement;
  if (folded.peek()) page.dataset.side = "folded";
  else delete page.dataset.side;
  keep("monlight.side", folded.peek() ? "folded" : null);
}

function keep(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden: the choice then lasts as long as the page.
  }
}
