/** The cursor of a list: one tab stop, `j` `k` and arrows inside, focus on the row's own link or button. */
import { type Signal, useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { useKeys } from "./keys";

export interface Rows {
  /** The id of the row under the cursor, or null before the first move. */
  cursor: Signal<number | null>;
  /** For the element that holds the rows: each row has `data-row` with its id and, inside or itself, `data-focus`. */
  list: { current: HTMLElement | null };
  /** 0 for the row that a Tab reaches, -1 for the others. */
  tabIndex: (id: number) => 0 | -1;
  /** Puts the cursor on a row, and the focus when it is asked for. */
  put: (id: number, focus?: boolean) => void;
}

export function useRows(ids: readonly number[]): Rows {
  const cursor = useSignal<number | null>(null);
  const list = useRef<HTMLElement>(null);
  const put = (id: number, focus = false) => {
    cursor.value = id;
    if (!focus) return;
    const row = list.current?.querySelector<HTMLElement>(`[data-row="${id}"]`);
    (row?.matches("[data-focus]") ? row : row?.querySelector<HTMLElement>("[data-focus]"))?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  };
  const step = (by: number) => () => {
    const next = stepTo(ids, cursor.peek(), by);
    if (next === null) return false;
    put(next, true);
    return true;
  };
  useKeys("List", {
    j: { label: "down", run: step(1) },
    k: { label: "up", run: step(-1) },
    Enter: { label: "open", run: () => false },
    ArrowDown: { run: step(1) },
    ArrowUp: { run: step(-1) },
  });
  const first = ids[0];
  const stop = cursor.value !== null && ids.includes(cursor.value) ? cursor.value : first;
  return { cursor, list, put, tabIndex: (id) => (id === stop ? 0 : -1) };
}

/** The row `by` steps from the cursor, stopping at both ends; the first one when there is no cursor yet. */
export function stepTo(ids: readonly number[], cursor: number | null, by: number): number | null {
  if (ids.length === 0) return null;
  const at = cursor === null ? -1 : ids.indexOf(cursor);
  if (at < 0) return ids[by < 0 ? ids.length - 1 : 0] ?? null;
  return ids[Math.max(0, Math.min(ids.length - 1, at + by))] ?? null;
}
