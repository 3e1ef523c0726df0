/** A chart with a metric one can choose, on the overview. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Chart, type ChartSeries } from "@kit/chart";
import { count, parts, percent, quantity, rateNumber, rateScale, THIN, type Unit, unitOf } from "@kit/format";
import { Icon } from "@kit/icons";
import { Option, Popover } from "@kit/menu";
import { setParams } from "@kit/url";
import type { Metric, MetricType, Series } from "./api";
import { byStatus, column, merge, type Point, rate, STATUS_CLASSES, STEP, summarise, trend, withGaps } from "./merge";
import { names, period, project, range, REQUESTS, seriesSource } from "./model";
import { Big } from "./parts";

interface Props {
  type: MetricType;
  title: string;
  /** The parameter of the URL that holds the choice. */
  param: string;
  metric: string;
  /** Grows with every refresh of the page. */
  turn: number;
}

export function ChartCard({ type, title, param, metric, turn }: Props) {
  const byClass = metric === REQUESTS;
  const source = useMemo(() => seriesSource(metric, () => ({ groupBy: byClass ? "status" : "", totals: type === "histogram" })), [metric, type]);
  useEffect(() => {
    void source.load();
  }, [source, period.value, project.value, turn]);
  useEffect(() => () => source.stop(), [source]);
  const answer = source.data.value;
  const now = (source.at.value ?? new Date()).getTime() / 1000;
  const view = useMemo(() => (byClass ? requestsDrawing(answer, now) : drawing(type, unitOf(metric), merge(answer?.data ?? []), STEP[answer?.resolution ?? "minute"], now, answer?.totals?.[0]?.p95)), [type, metric, answer]);
  return (
    <figure class={`chart-card${source.slow.value ? " stale" : ""}`}>
      <figcaption>
        <MetricMenu type={type} title={title} metric={metric} onPick={(name) => setParams({ [param]: name })} />
        <Big number={view.number} unit={view.unit} />
        <p class="delta t3">{view.note}</p>
      </figcaption>
      {view.x.length > 0 || !answer ? (
        <Chart x={view.x} series={view.series} from={now - range.value.seconds} to={now} format={view.say} label={`${metric}: ${view.words}`} group="overview" />
      ) : (
        <p class="no-data t3">No data in this range</p>
      )}
      {source.fault.value && <p class="error-text">{source.fault.value.detail}</p>}
    </figure>
  );
}

interface Drawing {
  x: number[];
  series: ChartSeries[];
  number: string;
  unit: string;
  note: string;
  words: string;
  say: (value: number | null) => string;
}

/** What a card shows of its points, by the type of the metric. `wholeP95`: that of the whole stretch, which those of buckets do not tell. */
export function drawing(type: MetricType, unit: Unit, points: readonly Point[], step: number, now: number, wholeP95: number | null = null): Drawing {
  const rows = withGaps(points, step);
  const x = rows.map(({ time }) => time);
  const all = summarise(points);
  if (type === "counter") return counterDrawing(rows, x, points, all.sum, step, now);
  const say = (value: number | null) => quantity(value, unit);
  if (type === "gauge") {
    const values = column(rows, ({ avg }) => avg);
    const last = points.at(-1);
    return {
      x,
      say,
      ...parts(last?.avg ?? null, unit),
      note: all.max === null ? "" : `between ${say(all.min)} and ${say(all.max)}`,
      words: trend(values, say),
      series: [{ name: "mean", class: "s-1", colour: "--series-1", values, fill: "--series-1", width: 1.5 }],
    };
  }
  const p95 = column(rows, (point) => point.p95);
  const value = parts(wholeP95, unit);
  return {
    x,
    say,
    number: value.number,
    unit: `${value.unit} p95`,
    note: all.mean === null ? "" : `mean ${say(all.mean)}`,
    words: `p95 ${trend(p95, say)}`,
    series: [
      { name: "p50", class: "p50", colour: "--pct-50", values: column(rows, (point) => point.p50), width: 1.25 },
      { name: "p95", class: "p95", colour: "--pct-95", values: p95, width: 2, bandToPrevious: "--pct-band" },
      { name: "p99", class: "p99", colour: "--pct-99", values: column(rows, (point) => point.p99), width: 1 },
    ],
  };
}

/** How to say the rates of a chart, the unit once. */
function rateSayer(perSecond: number): { say: (value: number | null) => string; number: string; unit: string } {
  const scale = rateScale(perSecond);
  return { say: (value) => rateNumber(value, scale), number: rateNumber(perSecond, scale), unit: scale.unit };
}

/** The mean rate over the stretch that has data. */
function meanRate(points: readonly Point[], sum: number, now: number): number {
  const first = points[0];
  return first ? sum / Math.max(now - first.time, 1) : 0;
}

function counterDrawing(rows: ReturnType<typeof withGaps>, x: number[], points: readonly Point[], sum: number, step: number, now: number): Drawing {
  const values = column(rows, (point) => rate(point, step, now));
  const spoken = rateSayer(meanRate(points, sum, now));
  return {
    x,
    ...spoken,
    note: points.length > 0 ? `${count(sum)} in all` : "",
    words: trend(values, (value) => spoken.say(value) + spoken.unit),
    series: [{ name: "rate", class: "s2", colour: "--status-2xx", values, fill: "--status-2xx", width: 1.25 }],
  };
}

/** Requests by the class of their status, standing on each other. */
export function requestsDrawing(answer: Series | null, now: number): Drawing {
  const step = STEP[answer?.resolution ?? "minute"];
  const { all, of } = byStatus(answer?.data ?? []);
  const rows = withGaps(all, step);
  const { sum } = summarise(all);
  const spoken = rateSayer(meanRate(all, sum, now));
  const floor = new Map<number, number>();
  const series = STATUS_CLASSES.map((name, at): ChartSeries => {
    const own = column(rows, ({ time }) => rate({ time, sum: of[name].get(time) ?? 0 }, step, now));
    const values = own.map((value, index) => {
      if (value === null) return null;
      const top = (floor.get(index) ?? 0) + value;
      floor.set(index, top);
      return top;
    });
    const colour = `--status-${name}`;
    return { name, class: `st-${name}`, colour, values, own, width: 1.25, ...(at === 0 ? { fill: colour } : { bandToPrevious: colour, noLine: true }) };
  });
  return {
    x: rows.map(({ time }) => time),
    ...spoken,
    note: all.length > 0 ? `${count(sum)} in all` : "",
    words: trend(series.at(-1)?.values ?? [], (value) => spoken.say(value) + spoken.unit),
    series,
  };
}

/** The share of requests that were answered with 5xx. */
export function ErrorCard({ turn }: { turn: number }) {
  const source = useMemo(() => seriesSource(REQUESTS, () => ({ groupBy: "status" })), []);
  useEffect(() => void source.load(), [period.value, project.value, turn]);
  useEffect(() => () => source.stop(), [source]);
  const answer = source.data.value;
  const now = (source.at.value ?? new Date()).getTime() / 1000;
  const view = useMemo(() => errorsDrawing(answer), [answer]);
  return (
    <figure class={`chart-card${source.slow.value ? " stale" : ""}`}>
      <figcaption>
        <h2 class="plain-title">Errors</h2>
        <Big number={view.number} unit={view.unit} class={view.bad ? "bad" : ""} />
        <p class="delta t3">{view.note}</p>
      </figcaption>
      {view.x.length > 0 || !answer ? (
        <Chart x={view.x} series={view.series} from={now - range.value.seconds} to={now} format={view.say} zeroTop={0.3} label={`Share of answers with status 5xx ${view.words}`} group="overview" />
      ) : (
        <p class="no-data t3">No data in this range</p>
      )}
    </figure>
  );
}

/** One in twenty failing is shown red: nobody has set a limit yet. */
const MANY_ERRORS = 0.05;

export function errorsDrawing(answer: Series | null): Drawing & { bad: boolean } {
  const { all, of } = byStatus(answer?.data ?? []);
  const rows = withGaps(all, STEP[answer?.resolution ?? "minute"]);
  const values = column(rows, (point) => (point.sum > 0 ? (of["5xx"].get(point.time) ?? 0) / point.sum : null));
  const failed = [...of["5xx"].values()].reduce((sum, value) => sum + value, 0);
  const { sum } = summarise(all);
  const share = sum > 0 ? failed / sum : null;
  const [number = "", unit = ""] = percent(share).split(THIN);
  return {
    x: rows.map(({ time }) => time),
    say: percent,
    number,
    unit,
    note: sum > 0 ? `${count(failed)} of ${count(sum)}` : "",
    words: trend(values, percent),
    bad: share !== null && share >= MANY_ERRORS,
    series: [{ name: "5xx of all", class: "st-5xx", colour: "--status-5xx", values, fill: "--status-5xx", width: 1.5 }],
  };
}

function MetricMenu({ type, title, metric, onPick }: { type: MetricType; title: string; metric: string; onPick: (name: string) => void }) {
  const open = useSignal(false);
  const choices: Metric[] = (names.data.value?.metrics ?? []).filter((one) => one.type === type);
  return (
    <h2>
      {title}{" "}
      <Popover
        open={open}
        label={title}
        class="metric-menu"
        button={(props) => (
          <button class="btn quiet mini metric-button" type="button" title="Choose another metric" {...props}>
            <span class="mono cut">{metric}</span>
            <Icon name="down" small class="caret" />
          </button>
        )}
      >
        <ul>
          {choices.map(({ name }) => (
            <Option
              key={name}
              label={name}
              mono
              active={name === metric}
              onPick={() => {
                open.value = false;
                onPick(name);
              }}
            />
          ))}
        </ul>
      </Popover>
    </h2>
  );
}
