/** Overview: good without any set-up. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useCommands } from "@kit/commands";
import { FirstRun, serviceUrl } from "@kit/first-run";
import { clockSeconds, count, plural, scaled, THIN } from "@kit/format";
import { useKeys } from "@kit/keys";
import { lazy } from "@kit/lazy";
import { Live, RefreshButton, useRefresh } from "@kit/live";
import { Filter } from "@kit/menu";
import { RangeMenu } from "@kit/range-menu";
import { Page } from "@kit/shell";
import { FaultBanner, FaultState, Skeleton } from "@kit/states";
import { Share } from "@kit/strip";
import { go, href, place, setParams, withQuery } from "@kit/url";
import type { Dashboard, Metric } from "./api";
import { Endpoints } from "./endpoints";
import { dashboard, DURATIONS, names, period, periodParam, project, projects, range, stats } from "./model";
import { OverflowBanner } from "./overflow";
import { service } from "./service";
import { WebVitals } from "./web-vitals";

/** Drawn by uPlot, which comes in the second file. */
const Charts = lazy<{ known: readonly Metric[]; top: readonly Metric[]; turn: number }>("Charts");

export function Overview() {
  const turn = useSignal(0);
  const reload = () => {
    turn.value += 1;
    void dashboard.load();
    void names.load();
    void projects.load();
    void stats.load();
  };
  useEffect(reload, [period.value, project.value]);
  useRefresh(reload);
  useCommands(() =>
    (names.data.value?.metrics ?? []).map(({ name }) => ({ group: "Metrics", label: name, icon: "metrics", run: () => go("", exploreQuery(name)) })),
  );
  return (
    <Page title="Overview" service={service()} class="metrics" head={<Head title="Overview" onReload={reload} />} status={<Status />} hints={[[["t"], "time range"], [["p"], "project"], [["r"], "reload"]]}>
      <FaultBanner source={dashboard} onRetry={reload} />
      <OverflowBanner />
      <Body turn={turn.value} onRetry={reload} />
    </Page>
  );
}

/** The query of the page that explores a metric. */
export function exploreQuery(name: string): string {
  return withQuery(place.peek().query, { view: "explore", metric: name, latency: null, gauge: null, counter: null, agg: null, labels: null, by: null, find: null });
}

export function Head({ title, onReload }: { title: string; onReload: () => void }) {
  const open = useSignal(false);
  const list = projects.data.value?.projects ?? [];
  useKeys("Page", { p: { label: "project", run: () => void (open.value = true) } });
  return (
    <>
      <h1>{title}</h1>
      <div class="head-end">
        <RefreshButton busy={dashboard.busy.value} onClick={onReload} />
        <Filter label="Project" title="Project  P" open={open} value={project.value} choices={list.map((name) => ({ value: name, label: name || "(no name)" }))} onChange={(next) => setParams({ project: next })} />
        <RangeMenu range={range.value} absolute={false} onChange={(next) => setParams({ period: periodParam(next) })} />
        <Live fault={dashboard.fault.value} retryAt={dashboard.retryAt.value} />
      </div>
    </>
  );
}

export function Status() {
  const data = dashboard.data.value;
  const at = dashboard.at.value;
  return (
    <>
      {data && <span>{plural(data.summary.total_datapoints, "point")}</span>}
      {data && <span>{plural(data.summary.distinct_metrics, "metric")}</span>}
      {dashboard.took.value !== null && (
        <span>
          {Math.max(1, Math.round(dashboard.took.value))}
          {THIN}ms
        </span>
      )}
      {at && <span>as of {clockSeconds(at)}</span>}
    </>
  );
}

function Body({ turn, onRetry }: { turn: number; onRetry: () => void }) {
  const data = dashboard.data.value;
  const known = names.data.value?.metrics;
  if (!data || !known) {
    if (dashboard.fault.value) return <FaultState source={dashboard} onRetry={onRetry} />;
    return dashboard.slow.value ? <Skeleton /> : null;
  }
  if (known.length === 0 && data.summary.total_datapoints === 0 && !project.value) return <FirstRun title="Send the first metrics" code={exampleCode()} />;
  return (
    <>
      <Charts known={known} top={data.top_metrics} turn={turn} />
      {known.some(({ name }) => name === DURATIONS) && <Endpoints turn={turn} />}
      {data.web_vitals && <WebVitals vitals={data.web_vitals} />}
      <TopMetrics data={data} />
    </>
  );
}

function exampleCode(): string {
  return `# pip install monlight
from monlight import MetricsClient

metrics = MetricsClient("${serviceUrl()}", "your-key", project="my-app")
metrics.counter("orders_total", {"country": "de"})
metrics.histogram("checkout_seconds", 0.31)
metrics.flush()`;
}

function TopMetrics({ data }: { data: Dashboard }) {
  if (data.top_metrics.length === 0) return null;
  const most = Math.max(...data.top_metrics.map(({ count: n }) => n), 1);
  return (
    <section class="block" aria-labelledby="top">
      <div class="sec-head in">
        <h2 id="top">Top metrics</h2>
        <span class="t3">
          {data.top_metrics.length} of {count(data.summary.distinct_metrics)}, by number of points
        </span>
        <a class="link end" href={href("", withQuery(place.value.query, { view: "explore", metric: null }))} data-go>
          All in Explore
        </a>
      </div>
      <div class="table-wrap">
        <table class="table tops">
          <caption class="sr-only">Metrics with the most points</caption>
          <colgroup>
            <col class="e-name" />
            <col class="e-type" />
            <col />
            <col class="e-v" />
          </colgroup>
          <thead>
            <tr>
              <th>Metric</th>
              <th>Type</th>
              <th aria-sort="descending">Points</th>
              <th class="num">Total</th>
            </tr>
          </thead>
          <tbody>
            {data.top_metrics.map(({ name, type, count: n, total }) => (
              <tr key={name + type}>
                <td class="c-name">
                  <a class="mono cut block-text" href={href("", exploreQuery(name))} data-go title={name}>
                    {name}
                  </a>
                </td>
                <td class="c-type">
                  <span class="badge line">{type}</span>
                </td>
                <td class="c-share">
                  <Share share={n / most}>{count(n)}</Share>
                </td>
                <td class="num">{scaled(total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
