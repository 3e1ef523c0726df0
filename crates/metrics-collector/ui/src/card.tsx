/** A chart with a metric one can choose, on the overview. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Chart, type ChartSeries } from "@kit/chart";
import { count, parts, quantity, scaled, THIN, type Unit, unitOf } from "@kit/format";
import { Icon } from "@kit/icons";
import { Option, Popover } from "@kit/menu";
import { setParams } from "@kit/url";
import type { Metric, MetricType } from "./api";
import { column, merge, type Point, rate, STEP, summarise, trend, withGaps } from "./merge";
import { names, period, project, range, seriesSource } from "./model";
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
  const source = useMemo(() => seriesSource(() => metric), [metric]);
  useEffect(() => {
    void source.load();
  }, [source, period.value, project.value, turn]);
  useEffect(() => () => source.stop(), [source]);
  const answer = source.data.value;
  const points = useMemo(() => merge(answer?.data ?? []), [answer]);
  const step = STEP[answer?.resolution ?? "minute"];
  const now = (source.at.value ?? new Date()).getTime() / 1000;
  const view = useMemo(() => drawing(type, unitOf(metric), points, step, now), [type, metric, points, step, answer]);
  return (
    <figure class={`chart-card${source.slow.value ? " stale" : ""}`}>
      <figcaption>
        <MetricMenu type={type} title={title} metric={metric} onPick={(name) => setParams({ [param]: name })} />
        <Big number={view.number} unit={view.unit} />
        <p class="delta t3">{view.note}</p>
      </figcaption>
      {points.length > 0 || !answer ? (
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

/** What a card shows of its points, by the type of the metric. */
export function drawing(type: MetricType, unit: Unit, points: readonly Point[], step: number, now: number): Drawing {
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
  const newest = points.findLast((point) => point.p95 !== null);
  const value = parts(newest?.p95 ?? null, unit);
  return {
    x,
    say,
    number: value.number,
    unit: `${value.unit} p95`,
    // Percentiles of several label sets cannot be added up: the highest one is a true upper bound.
    note: all.sets > 1 ? `highest of ${all.sets} label sets` : all.mean === null ? "" : `mean ${say(all.mean)}`,
    words: `p95 ${trend(p95, say)}`,
    series: [
      { name: "p50", class: "p50", colour: "--pct-50", values: column(rows, (point) => point.p50), width: 1.25 },
      { name: "p95", class: "p95", colour: "--pct-95", values: p95, width: 2, bandToPrevious: "--pct-band" },
      { name: "p99", class: "p99", colour: "--pct-99", values: column(rows, (point) => point.p99), width: 1 },
    ],
  };
}

function counterDrawing(rows: ReturnType<typeof withGaps>, x: number[], points: readonly Point[], sum: number, step: number, now: number): Drawing {
  const first = points[0];
  const covered = first ? Math.max(now - first.time, 1) : 1;
  const perSecond = sum / covered;
  // What happens less than once in ten seconds is said a minute.
  const slow = perSecond > 0 && perSecond < 0.1;
  const say = (value: number | null) => (value === null ? "–" : `${scaled(slow ? value * 60 : value)}${slow ? "/min" : "/s"}`);
  const values = column(rows, (point) => rate(point, step, now));
  return {
    x,
    say,
    number: points.length > 0 ? scaled(slow ? perSecond * 60 : perSecond) : "–",
    unit: slow ? "/min" : "/s",
    note: points.length > 0 ? `${count(sum)} in all` : "",
    words: trend(values, say),
    series: [{ name: "rate", class: "s2", colour: "--status-2xx", values, fill: "--status-2xx", width: 1.25 }],
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

export const ms = (value: number) => `${Math.max(1, Math.round(value))}${THIN}ms`;
