/** The strip's bars as ranges of time. */
import { PickBars } from "@kit/pick-bars";
import { rangeText } from "@kit/range";
import { setParams } from "@kit/url";

export interface PickTimeProps {
  n: number;
  /** When a bar begins, in milliseconds. */
  start: (at: number) => number;
}

export function PickTime({ n, start }: PickTimeProps) {
  return (
    <PickBars
      n={n}
      onPick={(at, end) => {
        // A range ends with its last moment, a bar before the next one.
        const between = { kind: "between", from: new Date(start(at)), to: new Date(start(end) - 1) } as const;
        if (between.from < between.to) setParams({ range: rangeText(between), line: null });
      }}
    />
  );
}
