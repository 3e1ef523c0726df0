/** The charts on top of the overview: three numbers of the whole time, and how they came about. */
import { param } from "@kit/url";
import type { Metric } from "./api";
import { ChartCard, ErrorCard } from "./card";
import { REQUESTS, usualMetric } from "./model";

interface Props {
  known: readonly Metric[];
  /** Those with the most points, for the choice of what to show first. */
  top: readonly Metric[];
  turn: number;
}

export function Charts({ known, top, turn }: Props) {
  const counter = param("counter") || usualMetric("counter", known, top);
  const histogram = param("latency") || usualMetric("histogram", known, top);
  const gauge = param("gauge") || usualMetric("gauge", known, top);
  const requests = known.some(({ name }) => name === REQUESTS);
  return (
    <div class="charts3">
      {counter && <ChartCard key={counter} type="counter" title={counter === REQUESTS ? "Requests" : "Rate"} param="counter" metric={counter} turn={turn} />}
      {requests && <ErrorCard turn={turn} />}
      {histogram && <ChartCard key={histogram} type="histogram" title="Latency" param="latency" metric={histogram} turn={turn} />}
      {gauge && !requests && <ChartCard key={gauge} type="gauge" title="Gauge" param="gauge" metric={gauge} turn={turn} />}
    </div>
  );
}
