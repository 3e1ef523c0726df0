/** Explore: one metric closely, or the list of all. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { useCommands } from "@kit/commands";
import { Chart, type ChartSeries } from "@kit/chart";
import { copy, download } from "@kit/dom";
import { count, dayTime, plural, quantity, scaled, type Unit, unitOf } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { useRefresh } from "@kit/live";
import { Filter } from "@kit/menu";
import { useRows } from "@kit/rows";
import { Page, SearchField } from "@kit/shell";
import { Empty, FaultBanner, FaultState, Skeleton } from "@kit/states";
import { go, href, param, setParams } from "@kit/url";
import type { MetricType } from "./api";
import { column, merge, type Point, rate, STEP, summarise, trend, withGaps } from "./merge";
import { dashboard, names, period, project, projects, range, seriesSource, typeOf } from "./model";
import { exploreQuery, Head, Status } from "./overview";
import { service } from "./service";

export function Explore() {
  const metric = param("metric");
  return metric ? <OneMetric key={metric} metric={metric} /> : <AllMetrics />;
}

function useBasics(turn: () => void): () => void {
  const reload = () => {
    turn();
    void dashboard.load();
    void names.load();
    void projects.load();
  };
  useEffect(reload, [period.value, project.value]);
  useRefresh(reload);
  useCommands(() => (names.data.value?.metrics ?? []).map(({ name }) => ({ group: "Metrics", label: name, icon: "metrics", run: () => go("", exploreQuery(name)) })));
  return reload;
}

function AllMetrics() {
  const text = param("find");
  const reload = useBasics(() => {});
  const all = names.data.value?.metrics;
  const shown = (all ?? []).filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()));
  const points = new Map((dashboard.data.value?.top_metrics ?? []).map((top) => [`${top.name} ${top.type}`, top]));
  const rows = useRows(shown.map((_, at) => at));
  return (
    <Page title="Explore" service={service()} class="metrics" head={<Head title="Explore" onReload={reload} />} status={<Status />} hints={[[["j", "k"], "move"], [["Enter"], "open"], [["/"], "search"]]}>
      <FaultBanner source={names} onRetry={reload} />
      <div class="tools" role="search">
        <SearchField label="Find a metric" placeholder="Name of a metric" value={text} onChange={(find) => setParams({ find }, true)} />
      </div>
      {!all && (names.fault.value ? <FaultState source={names} onRetry={reload} /> : names.slow.value && <Skeleton />)}
      {all && shown.length === 0 && (
        <Empty
          icon="metrics"
          title="No metrics"
          actions={
            text && (
              <button class="btn" type="button" onClick={() => setParams({ find: null })}>
                Clear the search
              </button>
            )
          }
        >
          {text ? "No metric has this in its name." : "Nothing was received for this project."}
        </Empty>
      )}
      {shown.length > 0 && (
        <table class="table tops all-metrics">
          <caption class="sr-only">All metrics</caption>
          <colgroup>
            <col />
            <col class="e-type" />
            <col class="e-v" />
            <col class="e-v" />
          </colgroup>
          <thead>
            <tr>
              <th aria-sort="ascending">Metric</th>
              <th>Type</th>
              <th class="num">Points</th>
              <th class="num">Total</th>
            </tr>
          </thead>
          <tbody ref={(body) => void (rows.list.current = body)}>
            {shown.map(({ name, type }, at) => (
              <tr key={name + type} data-row={at} data-cursor={rows.cursor.value === at || undefined} onFocusCapture={() => rows.put(at)}>
                <td class="c-name">
                  <a class="mono cut block-text" href={href("", exploreQuery(name))} data-go data-focus tabIndex={rows.tabIndex(at)}>
                    {name}
                  </a>
                </td>
                <td class="c-type">
                  <span class="badge line">{type}</span>
                </td>
                <td class="num">{count(points.get(`${name} ${type}`)?.count)}</td>
                <td class="num">{scaled(points.get(`${name} ${type}`)?.total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Page>
  );
}

type Aggregation = "rate" | "sum" | "count" | "mean" | "min" | "max" | "p50" | "p95" | "p99";
const FOR_TYPE: Record<MetricType, Aggregation[]> = {
  counter: ["rate", "sum", "count"],
  gauge: ["mean", "min", "max", "count"],
  histogram: ["p50", "p95", "p99", "mean", "max", "rate"],
};

/** The value of a point, and the unit it is in: a rate counts events, except of a counter. */
function reading(aggregation: Aggregation, type: MetricType, step: number, now: number): (point: Point) => number | null {
  switch (aggregation) {
    case "rate":
      return (point) => rate({ time: point.time, sum: type === "counter" ? point.sum : point.count }, step, now);
    case "mean":
      return ({ avg }) => avg;
    default:
      return (point) => point[aggregation];
  }
}

function unitFor(aggregation: Aggregation, metric: string): Unit {
  if (aggregation === "count") return "count";
  return aggregation === "rate" ? "plain" : unitOf(metric);
}

function OneMetric({ metric }: { metric: string }) {
  const turn = useSignal(0);
  const reload = useBasics(() => (turn.value += 1));
  const labels = param("labels");
  const source = useMemo(() => seriesSource(() => metric, () => param("labels")), [metric]);
  useEffect(() => void source.load(), [turn.value, labels]);
  useEffect(() => () => source.stop(), [source]);
  const type = typeOf(metric) ?? "gauge";
  const choices = FOR_TYPE[type];
  const wanted = param("agg") as Aggregation;
  const aggregation = choices.includes(wanted) ? wanted : type === "histogram" ? "p95" : choices[0]!;
  const asTable = param("as") === "table";
  const answer = source.data.value;
  const points = useMemo(() => merge(answer?.data ?? []), [answer]);
  useKeys("Page", {
    v: { label: "chart or table", run: () => setParams({ as: asTable ? null : "table" }, true) },
    Escape: { label: "all metrics", run: () => setParams({ metric: null, agg: null, labels: null, as: null }) },
  });
  const step = STEP[answer?.resolution ?? "minute"];
  const now = (source.at.value ?? new Date()).getTime() / 1000;
  const unit = unitFor(aggregation, metric);
  const say = (value: number | null) => quantity(value, unit) + (aggregation === "rate" && value !== null ? "/s" : "");
  return (
    <Page title={metric} service={service()} class="metrics" head={<Head title="Explore" onReload={reload} />} status={<Status />} hints={[[["v"], "chart or table"], [["t"], "time range"], [["Escape"], "all metrics"]]}>
      <FaultBanner source={source} onRetry={() => void source.load()} />
      <QueryBar metric={metric} type={type} aggregation={aggregation} choices={choices} asTable={asTable} />
      {!answer && (source.fault.value ? <FaultState source={source} onRetry={() => void source.load()} /> : source.slow.value && <Skeleton />)}
      {answer && points.length === 0 && (
        <Empty icon="metrics" title="No data">
          {labels ? "Not received with exactly these labels in this range." : "Not received in this range."}
        </Empty>
      )}
      {answer && points.length > 0 && (
        <>
          {asTable ? (
            <PointTable metric={metric} points={points} unit={unitOf(metric)} />
          ) : (
            <BigChart metric={metric} points={points} step={step} now={now} read={reading(aggregation, type, step, now)} aggregation={aggregation} say={say} />
          )}
          <Facts metric={metric} points={points} resolution={answer.resolution} aggregation={aggregation} />
        </>
      )}
    </Page>
  );
}

interface QueryProps {
  metric: string;
  type: MetricType;
  aggregation: Aggregation;
  choices: Aggregation[];
  asTable: boolean;
}

function QueryBar({ metric, type, aggregation, choices, asTable }: QueryProps) {
  const all = [...new Set((names.data.value?.metrics ?? []).map(({ name }) => name))];
  return (
    <div class="query-area">
      <div class="query">
        <Filter label="Metric" value={metric} choices={all.map((name) => ({ value: name, label: name, mono: true }))} onChange={(name) => (name ? go("", exploreQuery(name)) : setParams({ metric: null, agg: null, labels: null }))} />
        <span class="badge line">{type}</span>
        <div class="seg" role="group" aria-label="Aggregation">
          {choices.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === aggregation} onClick={() => setParams({ agg: choice }, true)}>
              {choice}
            </button>
          ))}
        </div>
        <span class="query-word">where labels are</span>
        <form
          class="query-labels"
          onSubmit={(event) => {
            event.preventDefault();
            setParams({ labels: String(new FormData(event.currentTarget).get("labels")).trim() });
          }}
        >
          <input class="input" name="labels" aria-label="The complete label set" placeholder="all, or method:GET,status:200" autocomplete="off" spellcheck={false} defaultValue={param("labels")} key={param("labels")} />
        </form>
        <div class="seg query-end" role="group" aria-label="Show as">
          <button type="button" aria-pressed={!asTable} title="V" onClick={() => setParams({ as: null }, true)}>
            <Icon name="chart" small />
            Chart
          </button>
          <button type="button" aria-pressed={asTable} title="V" onClick={() => setParams({ as: "table" }, true)}>
            <Icon name="table" small />
            Table
          </button>
        </div>
      </div>
    </div>
  );
}

interface BigChartProps {
  metric: string;
  points: readonly Point[];
  step: number;
  now: number;
  read: (point: Point) => number | null;
  aggregation: Aggregation;
  say: (value: number | null) => string;
}

function BigChart({ metric, points, step, now, read, aggregation, say }: BigChartProps) {
  const { x, series } = useMemo(() => {
    const rows = withGaps(points, step);
    const values = column(rows, read);
    const line: ChartSeries = { name: aggregation, class: "s-1", colour: "--series-1", values, width: 2, fill: "--series-1" };
    return { x: rows.map(({ time }) => time), series: [line] };
  }, [points, aggregation]);
  return (
    <figure class="chart-card chart-big">
      <Chart tall x={x} series={series} from={now - range.value.seconds} to={now} format={say} label={`${aggregation} of ${metric} ${trend(series[0]!.values, say)}`} />
    </figure>
  );
}

function PointTable({ metric, points, unit }: { metric: string; points: readonly Point[]; unit: Unit }) {
  const say = (value: number | null) => quantity(value, unit);
  const columns = ["count", "sum", "min", "avg", "p50", "p95", "p99", "max"] as const;
  const csv = () => ["time", ...columns].join(",") + "\n" + points.map((point) => [new Date(point.time * 1000).toISOString(), ...columns.map((name) => point[name] ?? "")].join(",")).join("\n");
  return (
    <section class="block">
      <div class="sec-head in">
        <h2>{plural(points.length, "bucket")}</h2>
        <button class="btn quiet mini end" type="button" onClick={() => void copy(csv(), "Table")}>
          <Icon name="copy" small />
          Copy
        </button>
        <button class="btn quiet mini" type="button" onClick={() => download(`${metric}.csv`, csv(), "text/csv")}>
          <Icon name="download" small />
          CSV
        </button>
      </div>
      <div class="table-wrap">
        <table class="table points">
          <caption class="sr-only">Values of {metric} by bucket</caption>
          <thead>
            <tr>
              <th aria-sort="descending">Time</th>
              {columns.map((name) => (
                <th key={name} class="num">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {[...points]
              .reverse()
              .slice(0, 500)
              .map((point) => (
                <tr key={point.time}>
                  <td>{dayTime(new Date(point.time * 1000), new Date())}</td>
                  {columns.map((name) => (
                    <td key={name} class="num">
                      {name === "count" ? count(point.count) : say(point[name])}
                    </td>
                  ))}
                </tr>
              ))}
          </tbody>
        </table>
      </div>
      {points.length > 500 && <p class="more-rows t3">The newest 500 of {count(points.length)} buckets. The CSV has all.</p>}
    </section>
  );
}

function Facts({ metric, points, resolution, aggregation }: { metric: string; points: readonly Point[]; resolution: string; aggregation: Aggregation }) {
  const all = summarise(points);
  const unit = unitOf(metric);
  const facts: [string, string][] = [
    ["Points", count(all.count)],
    ["Sum", quantity(all.sum, unit)],
    ["Min", quantity(all.min, unit)],
    ["Mean", quantity(all.mean, unit)],
    ["Max", quantity(all.max, unit)],
    ["Buckets", `${count(points.length)}, one a ${resolution}`],
  ];
  return (
    <section class="block facts-row" aria-label="The whole range">
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt class="t3">{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {all.sets > 1 && aggregation.startsWith("p") && (
        <p class="t3">
          {all.sets} label sets: a percentile of all of them together is at most the highest of theirs, which is what the line shows. Name a complete label set for the exact one.
        </p>
      )}
    </section>
  );
}
