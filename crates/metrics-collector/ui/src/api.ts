/** What the metrics collector answers, and the questions the pages ask. */
import { type Answer, request } from "@kit/api";

export type MetricType = "counter" | "histogram" | "gauge";

export interface Metric {
  name: string;
  type: MetricType;
}

/** One bucket of one label set. */
export interface Bucket {
  /** The start, ISO 8601, UTC. */
  bucket: string;
  count: number;
  sum: number;
  min: number;
  max: number;
  avg: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** The labels it is grouped by; only in answers to a question with groups. */
  labels?: Record<string, string>;
}

export interface Series {
  name: string;
  resolution: "minute" | "hour" | "day";
  period: string;
  data: Bucket[];
  /** Everything over the whole period; only in answers to a question for it. */
  totals?: Omit<Bucket, "bucket">[];
}

export type Rating = "good" | "needs-improvement" | "poor" | "unknown";

export interface Vital {
  avg: number | null;
  count: number;
  rating: Rating;
  /** The 75th percentile and its rating: what the pages show. */
  p75?: number | null;
  p75_rating?: Rating;
  /** Which part of the measurements is good, in between and poor; from 0 to 1. */
  shares?: Record<Exclude<Rating, "unknown">, number> | null;
}

export type VitalId = "lcp" | "inp" | "cls" | "fcp" | "ttfb";
type PerVital<T> = { [id in VitalId]?: T };

export interface Dashboard {
  period: string;
  summary: { total_datapoints: number; distinct_metrics: number };
  top_metrics: (Metric & { count: number; total: number })[];
  web_vitals?: {
    summary: PerVital<Vital>;
    timeseries: ({ bucket: string; count: number; p75?: PerVital<number | null> } & PerVital<number | null>)[];
    by_page: ({ page: string; page_views: number; p75?: PerVital<number | null> } & PerVital<number | null>)[];
  };
}

export function getDashboard(period: string, project: string, signal: AbortSignal): Promise<Answer<Dashboard>> {
  return request<Dashboard>("api/dashboard", { query: { period, project }, signal });
}

export interface SeriesQuery {
  name: string;
  period: string;
  project: string;
  /** A filter, `k:v,k2!:v2,k3:*`: has the value, has another or none, has any; empty for all. */
  labels?: string;
  /**
   * Labels by whose values series are merged, `endpoint,status`. An empty text merges all of them,
   * so that the percentiles are those of everything together.
   */
  groupBy?: string;
  resolution?: "minute" | "hour";
  /** Ask for `totals`; of a name with several types only the one with the most points is answered then. */
  totals?: boolean;
}

const FIGURES = "count,sum,min,max,avg,p50,p95,p99";

export function getSeries(query: SeriesQuery, signal: AbortSignal): Promise<Answer<Series>> {
  const { name, period, project, labels, groupBy = "", resolution, totals } = query;
  const whole = totals ? { limit: "1", agg: FIGURES } : {};
  // An empty parameter has a meaning here, and apiUrl leaves empty ones out.
  return request<Series>(`api/metrics?group_by=${encodeURIComponent(groupBy)}`, { query: { name, period, project, labels, resolution, ...whole }, signal });
}

export function listNames(project: string, signal: AbortSignal): Promise<Answer<{ metrics: Metric[] }>> {
  return request<{ metrics: Metric[] }>("api/metrics/names", { query: { project }, signal });
}

/** A metric with more label sets than are kept apart. */
export interface Overflowing extends Metric {
  project: string;
}

export function getStats(signal: AbortSignal): Promise<Answer<{ overflowing: Overflowing[] }>> {
  return request<{ overflowing: Overflowing[] }>("api/stats", { signal });
}

export function listProjects(signal: AbortSignal): Promise<Answer<{ projects: string[] }>> {
  return request<{ projects: string[] }>("api/projects", { signal });
}
