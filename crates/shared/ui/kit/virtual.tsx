/**
 * A long list of which only the rows in view exist. Heights are guessed first and measured when a
 * row is drawn; what the reader looks at stays where it is when rows come or go above it.
 */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

/** Rows drawn beyond each edge of the view. */
const BEYOND = 12;
/** This close to the end counts as at the end, in pixels. */
const NEAR = 8;

export interface VirtualHandle {
  /** Brings a row into view: at the nearest edge, or in the middle. */
  show: (id: number, where?: "nearest" | "center") => void;
}

interface Props {
  ids: readonly number[];
  /** The height of a row nobody has measured, in pixels. */
  guess: number;
  /** Changes when all rows may have new heights: wrapping, width. */
  layout: string;
  /** Keeps the end in view when rows are added. */
  follow: boolean;
  row: (id: number, index: number) => ComponentChildren;
  /** Told after every scroll: whether the end is in view, whether the start is near. */
  onScroll: (state: { atEnd: boolean; nearStart: boolean; byHand: boolean }) => void;
  handle: { current: VirtualHandle | null };
  label: string;
  /** The element that scrolls; the document when null. */
  scroller: () => HTMLElement | null;
}

/** The first index whose end lies behind `offset`, in an ascending list of starts. */
export function rowAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function VirtualList({ ids, guess, layout, follow, row, onScroll, handle, label, scroller }: Props) {
  const list = useRef<HTMLOListElement>(null);
  const heights = useRef(new Map<number, number>()).current;
  const anchor = useRef<{ id: number; top: number } | null>(null);
  const following = useRef(follow);
  following.current = follow;
  const own = useRef(0);
  const view = useSignal({ from: 0, to: 1200 });
  const measured = useSignal(0);
  const lastLayout = useRef(layout);
  if (lastLayout.current !== layout) {
    heights.clear();
    lastLayout.current = layout;
  }
  measured.value;

  const starts = new Array<number>(ids.length + 1);
  let sum = 0;
  ids.forEach((id, at) => {
    starts[at] = sum;
    sum += heights.get(id) ?? guess;
  });
  starts[ids.length] = sum;
  const { from, to } = view.value;
  const first = ids.length === 0 ? 0 : Math.max(0, Math.min(rowAt(starts, from), ids.length - 1) - BEYOND);
  const last = ids.length === 0 ? 0 : Math.min(ids.length, rowAt(starts, to) + 1 + BEYOND);

  const box = () => scroller() ?? (document.scrollingElement as HTMLElement);
  const frame = () => {
    const element = scroller();
    return element ? { top: element.getBoundingClientRect().top, height: element.clientHeight } : { top: 0, height: innerHeight };
  };
  const look = () => {
    if (!list.current) return;
    const { top, height } = frame();
    const offset = top - list.current.getBoundingClientRect().top;
    const next = { from: Math.max(0, offset), to: offset + height };
    // A redraw only when the view has moved out of what is drawn with room to spare.
    if (Math.abs(next.from - view.peek().from) > guess * 4 || Math.abs(next.to - view.peek().to) > guess * 4) view.value = next;
    const rows = [...list.current.children] as HTMLElement[];
    const seen = rows.find((element) => element.getBoundingClientRect().bottom > top + 1);
    anchor.current = seen ? { id: Number(seen.dataset.row), top: seen.getBoundingClientRect().top - top } : null;
    const end = box();
    const byHand = end.scrollTop !== own.current;
    onScroll({ atEnd: end.scrollTop + end.clientHeight >= end.scrollHeight - NEAR, nearStart: offset < height, byHand });
  };
  const scrollTo = (top: number) => {
    const element = box();
    element.scrollTop = top;
    own.current = element.scrollTop;
  };

  useLayoutEffect(() => {
    if (!list.current) return;
    let changed = false;
    for (const element of list.current.children as Iterable<HTMLElement> & HTMLCollection) {
      const id = Number((element as HTMLElement).dataset.row);
      const height = (element as HTMLElement).offsetHeight;
      if (height > 0 && (heights.get(id) ?? guess) !== height) {
        heights.set(id, height);
        changed = true;
      }
    }
    const { top } = frame();
    if (following.current) scrollTo(box().scrollHeight);
    else if (anchor.current) {
      const element = list.current.querySelector<HTMLElement>(`[data-row="${anchor.current.id}"]`);
      if (element) {
        const moved = element.getBoundingClientRect().top - top - anchor.current.top;
        if (Math.abs(moved) >= 1) scrollTo(box().scrollTop + moved);
      } else {
        const at = ids.indexOf(anchor.current.id);
        if (at >= 0) scrollTo(box().scrollTop + list.current.getBoundingClientRect().top - top + (starts[at] ?? 0) - anchor.current.top);
      }
    }
    if (changed) measured.value += 1;
    else look();
  });

  useEffect(() => {
    const target: HTMLElement | Window = scroller() ?? window;
    let asked = false;
    const onMove = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        look();
      });
    };
    target.addEventListener("scroll", onMove, { passive: true });
    addEventListener("resize", onMove);
    return () => {
      target.removeEventListener("scroll", onMove);
      removeEventListener("resize", onMove);
    };
  }, [layout]);

  handle.current = {
    show: (id, where = "nearest") => {
      const at = ids.indexOf(id);
      if (at < 0 || !list.current) return;
      const { top, height } = frame();
      const from = list.current.getBoundingClientRect().top - top + (starts[at] ?? 0);
      const tall = heights.get(id) ?? guess;
      anchor.current = null;
      if (where === "center") box().scrollTop += from - (height - tall) / 2;
      else if (from < 0) box().scrollTop += from - guess;
      else if (from + tall > height) box().scrollTop += from + tall - height + guess;
      look();
    },
  };

  return (
    <ol ref={list} class="virtual" aria-label={label} style={{ paddingTop: `${starts[first] ?? 0}px`, paddingBottom: `${sum - (starts[last] ?? sum)}px` }}>
      {ids.slice(first, last).map((id, at) => row(id, first + at))}
    </ol>
  );
}
