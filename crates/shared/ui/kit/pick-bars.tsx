/** Lies over the bars of a strip: a click takes one of them, a drag several. */
import { useSignal } from "@preact/signals";

export interface PickBarsProps {
  /** How many bars there are. */
  n: number;
  /** The first bar, and the one behind the last. */
  onPick: (first: number, end: number) => void;
}

export function PickBars({ n, onPick }: PickBarsProps) {
  /** Where a drag began and where it is, as shares of the width. */
  const drag = useSignal<[number, number] | null>(null);
  const share = (event: PointerEvent) => {
    const { left, width } = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return (event.clientX - left) / width;
  };
  const [first, end] = barsBetween(...(drag.value ?? [0, 0]), n);
  return (
    <div
      class="strip-pick"
      title="Click or drag to narrow the time"
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        drag.value = [share(event), share(event)];
      }}
      onPointerMove={(event) => {
        const now = drag.peek();
        if (now) drag.value = [now[0], share(event)];
      }}
      onPointerUp={() => {
        const now = drag.peek();
        drag.value = null;
        if (now) onPick(...barsBetween(...now, n));
      }}
      // The page scrolls instead.
      onPointerCancel={() => (drag.value = null)}
    >
      {drag.value && <i style={{ left: `${(first / n) * 100}%`, width: `${((end - first) / n) * 100}%` }} />}
    </div>
  );
}

/** The bars from one share of the width to another, in any order: the first, and the one behind the last. */
export function barsBetween(one: number, other: number, n: number): [number, number] {
  const place = (share: number) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
  return [place(Math.min(one, other)), place(Math.max(one, other)) + 1];
}
