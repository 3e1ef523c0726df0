/** Explore: one metric closely, or the list of all. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { useCommands } from "@kit/commands";
import { Chart, type ChartSeries } from "@kit/chart";
import { copy, download } from "@kit/dom";
import { count, dayTime, perTime, plural, quantity, rateNumber, rateScale, type Unit, unitOf } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { useRefresh } from "@kit/live";
import { Filter } from "@kit/menu";
import { useRows } from "@kit/rows";
import { Page, SearchField } from "@kit/shell";
import { Empty, FaultBanner, FaultState, Skeleton } from "@kit/states";
import { go, href, param, setParams } from "@kit/url";
import type { MetricType, Series } from "./api";
import { byGroup, column, merge, type Point, rate, STEP, summarise, trend, withGaps } from "./merge";
import { dashboard, names, period, project, projects, range, seriesSource, stats, typeOf } from "./model";
import { exploreQuery, Head, Status } from "./overview";
import { OverflowBanner } from "./overflow";
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
    void stats.load();
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
  const rows = useRows(shown.map((_, at) => at));
  return (
    <Page title="Explore" service={service()} class="metrics" head={<Head title="Explore" onReload={reload} />} status={<Status />} hints={[[["j", "k"], "move"], [["Enter"], "open"], [["/"], "search"]]}>
      <FaultBanner source={names} onRetry={reload} />
      <OverflowBanner />
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
          </colgroup>
          <thead>
            <tr>
              <th aria-sort="ascending">Metric</th>
              <th>Type</th>
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

/** So many series are drawn; the largest ones when there are more. */
const DRAWN = 8;

function OneMetric({ metric }: { metric: string }) {
  const turn = useSignal(0);
  const reload = useBasics(() => (turn.value += 1));
  const labels = param("labels");
  const by = param("by");
  const source = useMemo(() => seriesSource(metric, () => ({ labels: param("labels"), groupBy: param("by") })), [metric]);
  useEffect(() => void source.load(), [turn.value, labels, by]);
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
    Escape: { label: "all metrics", run: () => setParams({ metric: null, agg: null, labels: null, by: null, as: null }) },
  });
  const now = (source.at.value ?? new Date()).getTime() / 1000;
  const unit = unitFor(aggregation, metric);
  const lines = useMemo(() => linesOf(answer, reading(aggregation, type, STEP[answer?.resolution ?? "minute"], now)), [answer, aggregation, type]);
  const say = (value: number | null) => (aggregation === "rate" ? perTime(value) : quantity(value, unit));
  return (
    <Page title={metric} service={service()} class="metrics" head={<Head title="Explore" onReload={reload} />} status={<Status />} hints={[[["v"], "chart or table"], [["t"], "time range"], [["Escape"], "all metrics"]]}>
      <FaultBanner source={source} onRetry={() => void source.load()} />
      <OverflowBanner metric={metric} />
      <QueryBar metric={metric} type={type} aggregation={aggregation} choices={choices} asTable={asTable} />
      {!answer && (source.fault.value ? <FaultState source={source} onRetry={() => void source.load()} /> : source.slow.value && <Skeleton />)}
      {answer && points.length === 0 && (
        <Empty icon="metrics" title="No data">
          {labels ? "Not received with these labels in this range." : "Not received in this range."}
        </Empty>
      )}
      {answer && points.length > 0 && (
        <>
          {asTable ? (
            <PointTable metric={metric} points={points} unit={unitOf(metric)} grouped={lines.all > 1} />
          ) : (
            <figure class="chart-card chart-big">
              <Chart
                tall
                x={lines.x}
                series={lines.series}
                from={now - range.value.seconds}
                to={now}
                format={say}
                axis={aggregation === "rate" ? rateAxis(lines) : say}
                label={lines.series.map(({ name, values }) => `${name} ${trend(values, say)}`).join("; ")}
              />
            </figure>
          )}
          {lines.all > 1 && <SeriesTable lines={lines} aggregation={aggregation} say={say} />}
          <Facts metric={metric} points={points} resolution={answer.resolution} />
        </>
      )}
    </Page>
  );
}

interface Lines {
  x: number[];
  series: ChartSeries[];
  /** How many there are, drawn or not. */
  all: number;
}

/** A line a group, the largest first. One group alone is named by what is drawn of it. */
export function linesOf(answer: Series | null, read: (point: Point) => number | null): Lines {
  const rows = withGaps(merge(answer?.data ?? []), STEP[answer?.resolution ?? "minute"]);
  const groups = [...byGroup(answer?.data ?? []).values()]
    .map((group) => ({ labels: group.labels, points: merge(group.rows) }))
    .map((group) => ({ ...group, size: group.points.reduce((sum, point) => sum + Math.abs(point.sum), 0) }))
    .sort((left, right) => right.size - left.size);
  const series = groups.slice(0, DRAWN).map(({ labels, points }, at): ChartSeries => {
    const byTime = new Map(points.map((point) => [point.time, point]));
    const values = column(rows, ({ time }) => {
      const point = byTime.get(time);
      return point ? read(point) : null;
    });
    const colour = `--series-${at + 1}`;
    return { name: nameOf(labels) || "all", class: `s-${at + 1}`, colour, values, width: groups.length === 1 ? 2 : 1.5, ...(groups.length === 1 ? { fill: colour } : {}) };
  });
  return { x: rows.map(({ time }) => time), series, all: groups.length };
}

/** How the axis of a chart says rates: all in the unit that suits their mean. */
export function rateAxis({ series }: Lines): (value: number) => string {
  const known = series.flatMap(({ values }) => values.filter((value): value is number => value !== null));
  const scale = rateScale(known.reduce((sum, value) => sum + value, 0) / Math.max(known.length, 1));
  return (value) => rateNumber(value, scale) + scale.unit;
}

/** `GET /api/cart` of method and endpoint: values alone, in the order of the labels' names. */
function nameOf(labels: Record<string, string>): string {
  return Object.entries(labels)
    .map(([name, value]) => value || `no ${name}`)
    .join(" · ");
}

function SeriesTable({ lines, aggregation, say }: { lines: Lines; aggregation: Aggregation; say: (value: number | null) => string }) {
  const stats = lines.series.map(({ name, class: mark, values }) => {
    const known = values.filter((value): value is number => value !== null);
    return {
      name,
      mark,
      min: known.length > 0 ? Math.min(...known) : null,
      mean: known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : null,
      max: known.length > 0 ? Math.max(...known) : null,
      last: known.at(-1) ?? null,
    };
  });
  const most = Math.max(...stats.map(({ max }) => max ?? 0), Number.MIN_VALUE);
  return (
    <section class="block" aria-label="Series">
      <div class="sec-head in">
        <h2>Series</h2>
        <span class="t3">
          {stats.length === lines.all ? plural(lines.all, "series", "series") : `${stats.length} of ${count(lines.all)}, the largest`}, {aggregation}
        </span>
      </div>
      <div class="table-wrap">
        <table class="table series-table">
          <caption class="sr-only">Each series over the range</caption>
          <colgroup>
            <col class="e-name" />
            <col />
            <col class="e-n" />
            <col class="e-n" />
            <col class="e-n" />
            <col class="e-n" />
          </colgroup>
          <thead>
            <tr>
              <th>{param("by") || "Series"}</th>
              <th class="c-range">Min, mean, max</th>
              <th class="num">Last</th>
              <th class="num c-min">Min</th>
              <th class="num c-mean">Mean</th>
              <th class="num c-max">Max</th>
            </tr>
          </thead>
          <tbody>
            {stats.map(({ name, mark, min, mean, max, last }) => (
              <tr key={name}>
                <td class="c-name">
                  <span class="series-name" title={name}>
                    <i class={`key ${mark}`} />
                    <span class="mono cut">{name}</span>
                  </span>
                </td>
                <td class="c-range">
                  {min !== null && mean !== null && max !== null && (
                    <svg class={`range-bar ${mark}`} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
                      <path class="range-all" d="M0 4H100" />
                      <path class="range-span" d={`M${(min / most) * 100} 4H${(max / most) * 100}`} />
                      <path class="range-mean" d={`M${(mean / most) * 100} 0V8`} />
                    </svg>
                  )}
                </td>
                <td class="num">
                  <b>{say(last)}</b>
                </td>
                <td class="num t2 c-min">{say(min)}</td>
                <td class="num t2 c-mean">{say(mean)}</td>
                <td class="num t2 c-max">{say(max)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
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
        <Filter label="Metric" value={metric} choices={all.map((name) => ({ value: name, label: name, mono: true }))} onChange={(name) => (name ? go("", exploreQuery(name)) : setParams({ metric: null, agg: null, labels: null, by: null }))} />
        <span class="badge line">{type}</span>
        <div class="seg" role="group" aria-label="Aggregation">
          {choices.map((choice) => (
            <button key={choice} type="button" aria-pressed={choice === aggregation} onClick={() => setParams({ agg: choice }, true)}>
              {choice}
            </button>
          ))}
        </div>
        <LabelField name="by" word="by" label="Labels to group by" placeholder="endpoint, status" />
        <LabelField name="labels" word="where labels are" label="Labels to filter by" placeholder="method:GET, status!:200, page:*" />
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

/** A field of the query: a change counts on Enter, or when the field is left. */
function LabelField({ name, word, label, placeholder }: { name: string; word: string; label: string; placeholder: string }) {
  const value = param(name);
  const set = (text: string) => setParams({ [name]: text.split(",").map((part) => part.trim()).filter(Boolean).join(",") });
  return (
    <form
      class="query-labels"
      onSubmit={(event) => {
        event.preventDefault();
        set(String(new FormData(event.currentTarget).get(name)));
      }}
    >
      <span class="query-word" aria-hidden="true">
        {word}
      </span>
      <input class="input" name={name} aria-label={label} placeholder={placeholder} autocomplete="off" spellcheck={false} defaultValue={value} key={value} onBlur={(event) => set(event.currentTarget.value)} />
    </form>
  );
}

function PointTable({ metric, points, unit, grouped }: { metric: string; points: readonly Point[]; unit: Unit; grouped: boolean }) {
  const say = (value: number | null) => quantity(value, unit);
  // Percentiles of groups cannot be put together, so a table of all groups has none.
  const columns = (["count", "sum", "min", "avg", "p50", "p95", "p99", "max"] as const).filter((name) => !(grouped && name.startsWith("p")));
  const csv = () => ["time", ...columns].join(",") + "\n" + points.map((point) => [new Date(point.time * 1000).toISOString(), ...columns.map((name) => point[name] ?? "")].join(",")).join("\n");
  return (
    <section class="block">
      <div class="sec-head in">
        <h2>
          {plural(points.length, "bucket")}
          {grouped && ", all groups together"}
        </h2>
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

function Facts({ metric, points, resolution }: { metric: string; points: readonly Point[]; resolution: string }) {
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
    </section>
  );
}
