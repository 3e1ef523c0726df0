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
}

export interface Series {
  name: string;
  resolution: "minute" | "hour" | "day";
  period: string;
  data: Bucket[];
}

export type Rating = "good" | "needs-improvement" | "poor" | "unknown";

export interface Vital {
  avg: number | null;
  count: number;
  rating: Rating;
  /** The 75th percentile, when the service gives it. */
  p75?: number | null;
}

export type VitalId = "lcp" | "inp" | "cls" | "fcp" | "ttfb";
type PerVital<T> = { [id in VitalId]?: T };

export interface Dashboard {
  period: string;
  summary: { total_datapoints: number; distinct_metrics: number };
  top_metrics: (Metric & { count: number; total: number })[];
  web_vitals?: {
    summary: PerVital<Vital>;
    timeseries: ({ bucket: string; count: number } & PerVital<number | null>)[];
    by_page: ({ page: string; page_views: number } & PerVital<number | null>)[];
  };
}

export function getDashboard(period: string, project: string, signal: AbortSignal): Promise<Answer<Dashboard>> {
  return request<Dashboard>("api/dashboard", { query: { period, project }, signal });
}

export function getSeries(name: string, period: string, project: string, labels: string, signal: AbortSignal): Promise<Answer<Series>> {
  return request<Series>("api/metrics", { query: { name, period, project, labels }, signal });
}

export function listNames(project: string, signal: AbortSignal): Promise<Answer<{ metrics: Metric[] }>> {
  return request<{ metrics: Metric[] }>("api/metrics/names", { query: { project }, signal });
}

export function listProjects(signal: AbortSignal): Promise<Answer<{ projects: string[] }>> {
  return request<{ projects: string[] }>("api/projects", { signal });
}
