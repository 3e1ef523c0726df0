/** Overview: good without any set-up. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useCommands } from "@kit/commands";
import { clockSeconds, count, parts, plural, quantity, scaled } from "@kit/format";
import { useKeys } from "@kit/keys";
import { interval, Live, RefreshButton, useRefresh } from "@kit/live";
import { Filter } from "@kit/menu";
import { RangeMenu } from "@kit/range-menu";
import { Page } from "@kit/shell";
import { FaultBanner, FaultState, Skeleton } from "@kit/states";
import { Share, Sparkline } from "@kit/strip";
import { go, href, param, place, root, setParams, withQuery } from "@kit/url";
import type { Dashboard, Vital } from "./api";
import { ChartCard, ms } from "./card";
import { dashboard, names, period, periodParam, project, projects, range, usualMetric } from "./model";
import { Big, RatingMark } from "./parts";
import { service } from "./service";
import { rate, RATING_CLASS, RATING_WORDS, scalePosition, VITALS, type VitalKind } from "./vitals";

export function Overview() {
  const turn = useSignal(0);
  const reload = () => {
    turn.value += 1;
    void dashboard.load();
    void names.load();
    void projects.load();
  };
  useEffect(reload, [period.value, project.value]);
  useRefresh(reload);
  useCommands(() =>
    (names.data.value?.metrics ?? []).map(({ name }) => ({ group: "Metrics", label: name, icon: "metrics", run: () => go("", exploreQuery(name)) })),
  );
  return (
    <Page title="Overview" service={service()} class="metrics" head={<Head title="Overview" onReload={reload} />} status={<Status />} hints={[[["t"], "time range"], [["p"], "project"], [["r"], "reload"]]}>
      <FaultBanner source={dashboard} onRetry={reload} />
      <Body turn={turn.value} onRetry={reload} />
    </Page>
  );
}

/** The query of the page that explores a metric. */
export function exploreQuery(name: string): string {
  return withQuery(place.peek().query, { view: "explore", metric: name, latency: null, gauge: null, counter: null, agg: null, labels: null });
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
      {dashboard.took.value !== null && <span>{ms(dashboard.took.value)}</span>}
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
  if (known.length === 0 && data.summary.total_datapoints === 0 && !project.value) return <FirstRun />;
  const counter = param("counter") || usualMetric("counter", known, data.top_metrics);
  const histogram = param("latency") || usualMetric("histogram", known, data.top_metrics);
  const gauge = param("gauge") || usualMetric("gauge", known, data.top_metrics);
  return (
    <>
      <div class="charts3">
        {counter && <ChartCard type="counter" title="Rate" param="counter" metric={counter} turn={turn} />}
        {histogram && <ChartCard type="histogram" title="Latency" param="latency" metric={histogram} turn={turn} />}
        {gauge && <ChartCard type="gauge" title="Gauge" param="gauge" metric={gauge} turn={turn} />}
      </div>
      {data.web_vitals && <WebVitals vitals={data.web_vitals} />}
      <TopMetrics data={data} />
    </>
  );
}

function FirstRun() {
  return (
    <section class="first-run">
      <h2>Send the first metrics</h2>
      <pre class="code" tabIndex={0} aria-label="Example in Python">
        <code>
          {"pip install monlight\n\n"}
          <i class="c-key">from</i> monlight <i class="c-key">import</i> MetricsClient
          {"\nMetricsClient("}
          <i class="c-text">{`"${root.origin}${root.pathname.replace(/\/$/, "")}"`}</i>
          {", api_key=…).counter("}
          <i class="c-text">"orders_total"</i>)
        </code>
      </pre>
      <p>
        <span class={`live-dot${interval().every ? "" : " off"}`} />
        {interval().every ? "Waiting. This page fills by itself." : "Live is off: reload to look again."}
      </p>
    </section>
  );
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

function WebVitals({ vitals }: { vitals: NonNullable<Dashboard["web_vitals"]> }) {
  const present = VITALS.filter(({ id }) => vitals.summary[id] !== undefined);
  const byP75 = present.some(({ id }) => vitals.summary[id]?.p75 != null);
  const views = vitals.summary.lcp?.count ?? Math.max(0, ...present.map(({ id }) => vitals.summary[id]!.count));
  return (
    <section class="block" aria-labelledby="vitals">
      <div class="sec-head in">
        <h2 id="vitals">Web vitals</h2>
        <span class="t3">
          {byP75 ? "75th percentile" : "mean"} of {plural(views, "measurement")} in real browsers
        </span>
      </div>
      <ul class={`vitals of-${present.length}`}>
        {present.map((kind) => (
          <VitalCard key={kind.id} kind={kind} vital={vitals.summary[kind.id]!} trend={vitals.timeseries.map((row) => row[kind.id] ?? null)} />
        ))}
      </ul>
      <Pages pages={vitals.by_page} />
    </section>
  );
}

function VitalCard({ kind, vital, trend }: { kind: VitalKind; vital: Vital; trend: (number | null)[] }) {
  const value = vital.p75 ?? vital.avg;
  const shown = parts(value, kind.unit);
  return (
    <li class="vital">
      <h3>
        {kind.short} <span class="t3">{kind.name}</span>
      </h3>
      <Big number={shown.number} unit={shown.unit} />
      <p class={`rating ${RATING_CLASS[vital.rating]}`}>
        <RatingMark rating={vital.rating} />
        {RATING_WORDS[vital.rating]}
      </p>
      {value !== null && value !== undefined && <VitalScale kind={kind} value={value} name={vital.p75 == null ? "mean" : "p75"} />}
      <p class="limits t3">{kind.limits}</p>
      <div class="vital-trend">
        <Sparkline values={trend} label={`${kind.short} over the range`} />
      </div>
    </li>
  );
}

/** Where the value stands between good and poor. */
function VitalScale({ kind, value, name }: { kind: VitalKind; value: number; name: string }) {
  const at = scalePosition(kind, value);
  return (
    <div class="dist3-box">
      <span class="p75-name" style={{ left: `${Math.max(6, Math.min(94, at))}%` }}>
        {name}
      </span>
      <svg class="dist3" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="good" width="33" height="8" />
        <rect class="improve" x="33.5" width="33" height="8" />
        <rect class="poor" x="67" width="33" height="8" />
        <path class="p75" d={`M${at} 0V8`} />
      </svg>
    </div>
  );
}

function Pages({ pages }: { pages: NonNullable<Dashboard["web_vitals"]>["by_page"] }) {
  if (pages.length === 0) return null;
  const most = Math.max(...pages.map(({ page_views: views }) => views), 1);
  const kinds = VITALS.slice(0, 3);
  return (
    <div class="table-wrap">
      <table class="table pages">
        <caption class="sr-only">Pages by views</caption>
        <colgroup>
          <col class="e-name" />
          <col />
          {kinds.map(({ id }) => (
            <col key={id} class="e-v" />
          ))}
        </colgroup>
        <thead>
          <tr>
            <th>Page</th>
            <th aria-sort="descending">Views</th>
            {kinds.map(({ id, short }) => (
              <th key={id} class="num">
                {short}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {pages.map((row) => (
            <tr key={row.page}>
              <td class="c-name">
                <span class="mono cut block-text" title={row.page}>
                  {row.page}
                </span>
              </td>
              <td class="c-share">
                <Share share={row.page_views / most}>{count(row.page_views)}</Share>
              </td>
              {kinds.map((kind) => {
                const value = row[kind.id] ?? null;
                const rating = rate(kind, value);
                return (
                  <td key={kind.id} class="num" title={RATING_WORDS[rating]}>
                    {value !== null && <RatingMark rating={rating} />}
                    {quantity(value, kind.unit)}
                    <span class="sr-only"> {RATING_WORDS[rating]}</span>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
