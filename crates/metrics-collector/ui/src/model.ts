/** What the pages of the metrics collector share: range, project, names, the dashboard. */
import { computed, untracked } from "@preact/signals";
import { parseRange, periodText, type Range } from "@kit/range";
import { Source } from "@kit/source";
import { param } from "@kit/url";
import { type Dashboard, getDashboard, getSeries, listNames, listProjects, type Metric, type MetricType, type Series } from "./api";

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

export function seriesSource(name: () => string, labels: () => string = () => ""): Source<Series> {
  return new Source((abort) => getSeries(untracked(name), untracked(() => period.value), untracked(() => project.value), untracked(labels), abort));
}

/** The type of a metric, as the collector lists it. A name with two types is of the first. */
export function typeOf(name: string): MetricType | null {
  return names.data.value?.metrics.find((metric) => metric.name === name)?.type ?? null;
}

const USUAL: Record<MetricType, string> = { counter: "http_requests_total", histogram: "http_request_duration_seconds", gauge: "" };

/** The metric a card shows before somebody chose one: the usual one, else the one with most points. */
export function usualMetric(type: MetricType, all: readonly Metric[], top: readonly Metric[]): string {
  const fits = (metric: Metric) => metric.type === type && !metric.name.startsWith("web_vitals_");
  if (all.some((metric) => fits(metric) && metric.name === USUAL[type])) return USUAL[type];
  return top.find(fits)?.name ?? all.find(fits)?.name ?? "";
}
