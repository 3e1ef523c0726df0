/** The five levels, from harmless to worst. */
import type { Level } from "./api";

export const LEVELS: readonly { id: Level; name: string; short: string; class: string }[] = [
  { id: "DEBUG", name: "Debug", short: "debug", class: "lv-debug" },
  { id: "INFO", name: "Info", short: "info", class: "lv-info" },
  { id: "WARNING", name: "Warning", short: "warn", class: "lv-warning" },
  { id: "ERROR", name: "Error", short: "error", class: "lv-error" },
  { id: "CRITICAL", name: "Critical", short: "crit", class: "lv-critical" },
];

/** What a level looks like; one that nobody knows looks like info. */
export function levelOf(name: string): (typeof LEVELS)[number] {
  return LEVELS.find(({ id }) => id === name) ?? { ...LEVELS[1]!, short: name.toLowerCase().slice(0, 5) };
}

/** Whether a filter such as `>=ERROR` takes a level. */
export function takes(filter: string, level: Level): boolean {
  if (!filter) return true;
  const rank = (name: string) => LEVELS.findIndex(({ id }) => id === name);
  return filter.startsWith(">=") ? rank(level) >= rank(filter.slice(2)) : filter === level;
}
