/** Small parts of the metrics pages. */
import { quantity, type Unit } from "@kit/format";
import type { Rating } from "./api";
import { RATING_CLASS } from "./vitals";

/** A rating has a shape as well as a colour. */
export function RatingMark({ rating }: { rating: Rating }) {
  const name = RATING_CLASS[rating];
  return (
    <svg class={`rate ${name}`} viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
      {rating === "needs-improvement" ? <path d="M5 .6 9.4 5 5 9.4.6 5Z" /> : rating === "poor" ? <path d="M5 .8 9.7 9.2H.3Z" /> : <circle cx="5" cy="5" r="4" />}
    </svg>
  );
}

/** A number with its unit set smaller. */
export function Big({ number, unit, class: more }: { number: string; unit: string; class?: string }) {
  return (
    <p class={`big${more ? ` ${more}` : ""}`}>
      {number}
      {unit && <span>{unit}</span>}
    </p>
  );
}

/** How to say the values of a metric. */
export function sayer(unit: Unit): (value: number | null) => string {
  return (value) => quantity(value, unit);
}
