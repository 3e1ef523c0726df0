/**
 * A chart over time, drawn by uPlot in the colours of the theme. Import it only where there are
 * charts, and import uplot/dist/uPlot.min.css with the page's own style.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { clock, day, weekday } from "./format";
import { dark } from "./look";
import { axisLabel, roundTimes } from "./strip";

export interface ChartSeries {
  name: string;
  /** The class of its key in the legend. */
  class: string;
  /** The registered token it is drawn in: `--series-1`. */
  colour: string;
  values: readonly (number | null)[];
  width?: number;
  /** The token of the area below it. */
  fill?: string;
  /** Fills up to the series before it, in this token. */
  bandToPrevious?: string;
  /** What the legend says, where `values` is what the series stands on and itself. */
  own?: readonly (number | null)[];
  /** A band alone, without a line of its own. */
  noLine?: boolean;
}

interface Props {
  /** Seconds since 1970, ascending. */
  x: readonly number[];
  series: readonly ChartSeries[];
  /** The stretch of time the chart shows, in seconds. */
  from: number;
  to: number;
  format: (value: number | null) => string;
  /** How the value axis says its values, when not as `format` does: they all have one unit. */
  axis?: (value: number) => string;
  /** Where the value axis ends when there is nothing but zeros. */
  zeroTop?: number;
  /** What the chart says, in words. */
  label: string;
  /** Charts of the same name share their crosshair. */
  group?: string;
  tall?: boolean;
}

/** A step of 1, 2, 2.5 or 5 times a power of ten, so that three of them reach `max`. */
export function niceStep(max: number): number {
  if (!(max > 0)) return 1;
  const least = max / 3;
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 2.5, 5, 10].find((size) => size * power >= least * 0.999999) ?? 10;
  return factor * power;
}

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888";
}

/**
 * The columns uPlot takes: times, then one column a series. The ends of the asked-for stretch are
 * added without a value, so that the whole of it is shown whatever the data covers.
 */
export function columns(x: readonly number[], series: readonly Pick<ChartSeries, "values">[], from: number, to: number): (number | null)[][] {
  const before = x[0] === undefined || from < x[0];
  const after = x.length === 0 || to > x.at(-1)!;
  const pad = <T,>(values: readonly T[], start: T, end: T) => [...(before ? [start] : []), ...values, ...(after ? [end] : [])];
  return [pad(x, from, to), ...series.map(({ values }) => pad<number | null>(values, null, null))];
}

export function Chart({ x, series, from, to, format, axis = format, zeroTop = 3, label, group, tall = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const at = useSignal<number | null>(null);
  const left = useSignal(0);
  const latest = useRef(axis);
  latest.current = axis;
  const data = columns(x, series, from, to);
  const said = columns(x, series.map(({ values, own }) => ({ values: own ?? values })), from, to);
  // A chart is drawn anew when what it consists of changes; new values only move it.
  const shape = `${series.map(({ name, colour }) => name + colour).join()}${dark.value}${tall}`;

  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const made = new uPlot(options(host, series, latest, zeroTop, group, (chart) => {
      at.value = chart.cursor.idx ?? null;
      left.value = chart.cursor.left ?? 0;
    }), data as uPlot.AlignedData, host);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height: host.clientHeight }));
    observer.observe(host);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => {
    plot.current?.setData(data as uPlot.AlignedData);
  }, [x, series, from, to]);

  const move = (step: number) => {
    const chart = plot.current;
    const times = data[0] as number[];
    if (!chart || times.length === 0) return;
    const next = Math.max(0, Math.min(times.length - 1, (at.peek() ?? (step > 0 ? -1 : times.length)) + step));
    chart.setCursor({ left: chart.valToPos(times[next]!, "x"), top: chart.over.clientHeight / 2 });
  };
  const shown = at.value ?? lastWithValue(said);
  const time = data[0]?.[shown] ?? undefined;
  return (
    <>
      <ul class="legend">
        {series.map((one, index) => (
          <li key={one.name}>
            <i class={`key ${one.class}`} />
            {one.name} <b>{format(said[index + 1]?.[shown] ?? null)}</b>
          </li>
        ))}
        {time !== undefined && <li class="t3">at {momentLabel(time, to - from)}</li>}
      </ul>
      <div class={`plot-box${tall ? " tall" : ""}`}>
        <div
          class="plot-host"
          ref={box}
          role="img"
          aria-label={label}
          tabIndex={0}
          onKeyDown={(event) => {
            const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
            if (!step) return;
            event.preventDefault();
            move(step);
          }}
          onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
        />
        {at.value !== null && time !== undefined && (
          <div class="tip cross-tip" aria-hidden="true" style={{ left: `${left.value}px` }}>
            {momentLabel(time, to - from)}
          </div>
        )}
      </div>
    </>
  );
}

function momentLabel(seconds: number, span: number): string {
  const time = new Date(seconds * 1000);
  if (span <= 86400) return clock(time);
  return `${span > 20 * 86400 ? day(time) : weekday(time)} ${clock(time)}`;
}

/** Where the newest values of the columns stand, -1 without any. The first column is that of the times. */
export function lastWithValue([times = [], ...columns]: readonly (readonly (number | null)[])[]): number {
  return times.findLastIndex((_, at) => columns.some((values) => (values[at] ?? null) !== null));
}

type Axis = { current: (value: number) => string };

/** The colour behind the charts. It is no registered token, so it is read from where it is used. */
function ground(): string {
  return getComputedStyle(document.getElementById("main") ?? document.body).backgroundColor;
}

function options(host: HTMLElement, series: readonly ChartSeries[], axis: Axis, zeroTop: number, group: string | undefined, onCursor: (chart: uPlot) => void): uPlot.Options {
  const grid = token("--chart-grid");
  const ink = token("--chart-axis");
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  return {
    width: host.clientWidth,
    height: host.clientHeight,
    padding: [6, 0, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: true },
      points: { size: 7, width: 0, fill: (_chart, at) => token(series[at - 1]?.colour ?? "--chart-cross") },
      ...(group ? { sync: { key: group, setSeries: false } } : {}),
    },
    scales: {
      y: {
        range: (_chart, _min, max) => {
          const step = niceStep(max || zeroTop);
          return [0, step * 3];
        },
      },
    },
    axes: [
      {
        size: 22,
        gap: 4,
        font,
        stroke: ink,
        grid: { show: false },
        ticks: { show: false },
        splits: (chart, _axis, min, max) => roundTimes(min, max, Math.max(2, Math.floor(chart.width / 90))).filter((time) => ((time - min) / (max - min)) * chart.width > 20 && ((max - time) / (max - min)) * chart.width > 20),
        values: (chart, splits) => splits.map((time) => axisLabel(time, (chart.scales.x!.max ?? 0) - (chart.scales.x!.min ?? 0))),
      },
      {
        size: 0,
        gap: 0,
        grid: { stroke: grid, width: 1 },
        ticks: { show: false },
        splits: (_chart, _axis, _min, max) => [0, max / 3, (max / 3) * 2, max],
        values: (_chart, splits) => splits.map(() => ""),
      },
    ],
    series: [
      {},
      ...series.map(
        (one): uPlot.Series => ({
          label: one.name,
          stroke: token(one.colour),
          width: one.noLine ? 0 : (one.width ?? 1.5),
          points: { show: (chart, at, first, last) => hasLonely(chart.data[at] as (number | null)[], first, last), size: 3, filter: (chart, at) => lonely(chart.data[at] as (number | null)[]) },
          ...(one.fill ? { fill: soften(token(one.fill)) } : {}),
        }),
      ),
    ],
    bands: series.flatMap((one, at) => (one.bandToPrevious && at > 0 ? [{ series: [at + 1, at] as [number, number], fill: token(one.bandToPrevious) }] : [])),
    hooks: { draw: [(chart) => drawLabels(chart, axis.current, ink, font)], setCursor: [onCursor] },
  };
}

/** The same colour at a seventh of its strength. */
function soften(colour: string): string {
  const numbers = /rgba?\(([\d.]+),?\s*([\d.]+),?\s*([\d.]+)/.exec(colour);
  return numbers ? `rgba(${numbers[1]}, ${numbers[2]}, ${numbers[3]}, 0.15)` : colour;
}

/** Points with a gap on both sides: a line would not show them. */
function lonely(values: readonly (number | null)[]): number[] {
  const found: number[] = [];
  values.forEach((value, at) => {
    if (value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null) found.push(at);
  });
  return found;
}

function hasLonely(values: readonly (number | null)[], first: number, last: number): boolean {
  return lonely(values).some((at) => at >= first && at <= last);
}

/** The labels of the value axis stand at their lines, inside the plot, each on a ground that keeps the series from it. */
function drawLabels(chart: uPlot, say: (value: number) => string, ink: string, font: string): void {
  const { ctx, bbox } = chart;
  const ratio = uPlot.pxRatio;
  const max = chart.scales.y!.max ?? 0;
  const back = ground();
  ctx.save();
  ctx.font = font.replace("11px", `${11 * ratio}px`);
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  for (const value of [max / 3, (max / 3) * 2, max]) {
    const text = say(value);
    const y = chart.valToPos(value, "y", true) + 3 * ratio;
    ctx.fillStyle = back;
    ctx.fillRect(bbox.left, y - 2 * ratio, ctx.measureText(text).width + 4 * ratio, 14 * ratio);
    ctx.fillStyle = ink;
    ctx.fillText(text, bbox.left, y);
  }
  ctx.restore();
}
