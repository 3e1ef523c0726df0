/** Single keys do everything the pages can do. Each one has a visible control as well. */
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

export interface Key {
  /** What the list of keys says; without it the key is not listed. */
  label?: string;
  /** Answering false leaves the key to the browser. */
  run: (event: KeyboardEvent) => boolean | void;
}

/**
 * Keys by name: `j`, `Enter`, `Shift+N`, `Mod+k` (Ctrl or ⌘), or two in a row: `g e`.
 */
export type KeyMap = Record<string, Key>;

interface Scope {
  title: string;
  keys: () => KeyMap;
  /** A scope that hides those below it: an open menu or dialog. */
  modal: boolean;
}

const scopes = signal<Scope[]>([]);
const STORED = "monlight.keys";

/** Whether single keys work; the list of keys has a switch for it. */
export const singleKeys = signal(stored() !== "off");

function stored(): string | null {
  try {
    return localStorage.getItem(STORED);
  } catch {
    // A browser may forbid storage; the keys then work, as they do at first.
    return null;
  }
}

export function setSingleKeys(on: boolean): void {
  singleKeys.value = on;
  try {
    if (on) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, "off");
  } catch {
    // The choice then lasts as long as the page.
  }
}

/** Makes keys work while a component is mounted. The newest scope is asked first. */
export function useKeys(title: string, keys: KeyMap, modal = false): void {
  const latest = useRef(keys);
  latest.current = keys;
  // Before the paint: who types fast has the next key pressed when a menu has just opened.
  useLayoutEffect(() => {
    const scope: Scope = { title, keys: () => latest.current, modal };
    scopes.value = [...scopes.peek(), scope];
    return () => {
      scopes.value = scopes.peek().filter((other) => other !== scope);
    };
  }, [title, modal]);
}

/** All keys that work now and have a label, by scope, the page's own first. */
export function listedKeys(): { title: string; keys: [string, string][] }[] {
  return scopes.value
    .filter((scope) => !scope.modal)
    .reverse()
    .map((scope) => ({
      title: scope.title,
      keys: Object.entries(scope.keys()).flatMap(([name, key]): [string, string][] => (key.label ? [[name, key.label]] : [])),
    }))
    .filter((scope) => scope.keys.length > 0);
}

/** The name of a pressed key, as key maps write it. */
export function keyName(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "shiftKey" | "altKey">): string {
  const letter = /^[a-z]$/i.test(event.key);
  const name = letter ? event.key.toLowerCase() : event.key;
  const mod = event.ctrlKey || event.metaKey ? "Mod+" : "";
  // Shift is part of the name only where it does not already show in the character.
  const shift = event.shiftKey && (letter || event.key.length > 1) ? "Shift+" : "";
  const pressed = letter && event.shiftKey ? name.toUpperCase() : name;
  return (event.altKey ? "Alt+" : "") + mod + shift + pressed;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "submit"].includes(target.type);
}

let first = "";
let firstTimer: ReturnType<typeof setTimeout> | undefined;

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const name = keyName(event);
  const always = name === "Escape" || name.startsWith("Mod+");
  const moving = /^(Arrow|Enter|Home|End|Page)/.test(name);
  if (!always && (isTyping(event.target) || !(singleKeys.peek() || moving))) return;
  const chain = first ? `${first} ${name}` : "";
  clearTimeout(firstTimer);
  first = "";
  for (const scope of [...scopes.peek()].reverse()) {
    const keys = scope.keys();
    const key = (chain && keys[chain]) || keys[name];
    if (key && key.run(event) !== false) {
      event.preventDefault();
      return;
    }
    if (scope.modal) return;
    if (Object.keys(keys).some((other) => other.startsWith(`${name} `))) {
      first = name;
      firstTimer = setTimeout(() => (first = ""), 1000);
    }
  }
}

/** Called once, when the page starts. */
export function listenForKeys(): void {
  document.addEventListener("keydown", onKey);
}
