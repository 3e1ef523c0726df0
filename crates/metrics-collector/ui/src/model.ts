/** What the pages of the metrics collector share: range, project, names, the dashboard. */
import { computed, untracked } from "@preact/signals";
import { parseRange, periodText, type Range } from "@kit/range";
import { Source } from "@kit/source";
import { param } from "@kit/url";
import { type Dashboard, getDashboard, getSeries, getStats, listNames, listProjects, type Metric, type MetricType, type Series, type SeriesQuery } from "./api";

const DAY: Range = { kind: "last", seconds: 86400 };
const DEFAULT_PERIOD = "24h";

/** The collector only knows stretches that end now. */
export const range = computed<Extract<Range, { kind: "last" }>>(() => {
  const asked = parseRange(param("period") || DEFAULT_PERIOD, new Date());
  return (asked?.kind === "last" ? asked : DAY) as Extract<Range, { kind: "last" }>;
});
export const period = computed(() => periodText(range.value.seconds));
export const project = computed(() => param("project"));
/** What a change of range is in the URL. */
export const periodParam = (next: Range) => (next.kind === "last" && periodText(next.seconds) !== DEFAULT_PERIOD ? periodText(next.seconds) : null);

export const dashboard = new Source<Dashboard>((abort) => getDashboard(untracked(() => period.value), untracked(() => project.value), abort));
export const names = new Source((abort) => listNames(untracked(() => project.value), abort));
export const projects = new Source((abort) => listProjects(abort));
export const stats = new Source((abort) => getStats(abort));

/** A metric over the range and project of the page; `more` is read anew at every load. */
export function seriesSource(name: string, more: () => Partial<SeriesQuery> = () => ({})): Source<Series> {
  return new Source((abort) =>
    untracked(() => getSeries({ name, period: period.value, project: project.value, ...more() }, abort)),
  );
}

/** The type of a metric, as the collector lists it. A name with two types is of the first. */
export function typeOf(name: string): MetricType | null {
  return names.data.value?.metrics.find((metric) => metric.name === name)?.type ?? null;
}

/** What the middleware of the Python SDK sends of every request, with the labels method, endpoint and status. */
export const REQUESTS = "http_requests_total";
export const DURATIONS = "http_request_duration_seconds";

const USUAL: Record<MetricType, string> = { counter: REQUESTS, histogram: DURATIONS, gauge: "" };

/** The metric a card shows before somebody chose one: the usual one, else the one with most points. */
export function usualMetric(type: MetricType, all: readonly Metric[], top: readonly Metric[]): string {
  const fits = (metric: Metric) => metric.type === type && !metric.name.startsWith("web_vitals_");
  if (all.some((metric) => fits(metric) && metric.name === USUAL[type])) return USUAL[type];
  return top.find(fits)?.name ?? all.find(fits)?.name ?? "";
}
