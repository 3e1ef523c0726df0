/** Web vitals: names, limits and ratings, as web.dev defines them. */
import type { Rating, VitalId } from "./api";
import type { Unit } from "@kit/format";

export interface VitalKind {
  id: VitalId;
  short: string;
  name: string;
  unit: Unit;
  /** Good up to here, poor above that, in the unit of the value. */
  good: number;
  poor: number;
  limits: string;
}

export const VITALS: readonly VitalKind[] = [
  { id: "lcp", short: "LCP", name: "Largest paint", unit: "ms", good: 2500, poor: 4000, limits: "good to 2.5 s, poor over 4 s" },
  { id: "inp", short: "INP", name: "Interaction to next paint", unit: "ms", good: 200, poor: 500, limits: "good to 200 ms, poor over 500 ms" },
  { id: "cls", short: "CLS", name: "Layout shift", unit: "ratio", good: 0.1, poor: 0.25, limits: "good to 0.1, poor over 0.25" },
  { id: "fcp", short: "FCP", name: "First paint", unit: "ms", good: 1800, poor: 3000, limits: "good to 1.8 s, poor over 3 s" },
  { id: "ttfb", short: "TTFB", name: "First byte", unit: "ms", good: 800, poor: 1800, limits: "good to 0.8 s, poor over 1.8 s" },
];

/** As the collector rates p75: a value on a limit has the better rating. */
export function rate(kind: VitalKind, value: number | null | undefined): Rating {
  if (value == null) return "unknown";
  if (value <= kind.good) return "good";
  return value <= kind.poor ? "needs-improvement" : "poor";
}

export const RATING_WORDS: Record<Rating, string> = {
  good: "Good",
  "needs-improvement": "Needs improvement",
  poor: "Poor",
  unknown: "No data",
};

/** The class of a rating: its colour and its shape. */
export const RATING_CLASS: Record<Rating, string> = { good: "good", "needs-improvement": "improve", poor: "poor", unknown: "none" };
