/** Where the time goes: what to make faster first. */
import { useEffect, useMemo } from "preact/hooks";
import { percent, perTime, quantity } from "@kit/format";
import { Share, Sparkline } from "@kit/strip";
import { href, place, withQuery } from "@kit/url";
import { type Endpoint, endpoints, STEP } from "./merge";
import { DURATIONS, period, project, range, REQUESTS, seriesSource } from "./model";

/** So many endpoints are listed. */
const SHOWN = 10;
/** From this share of failures on they are red. */
const MANY_ERRORS = 0.05;

export function Endpoints({ turn }: { turn: number }) {
  const hourly = range.value.seconds > 7200;
  const more = hourly ? { resolution: "hour" as const } : {};
  const durations = useMemo(() => seriesSource(DURATIONS, () => ({ groupBy: "method,endpoint", ...more })), [hourly]);
  const requests = useMemo(() => seriesSource(REQUESTS, () => ({ groupBy: "method,endpoint,status", ...more })), [hourly]);
  useEffect(() => {
    void durations.load();
    void requests.load();
  }, [durations, period.value, project.value, turn]);
  const answer = durations.data.value;
  const answers = requests.data.value;
  const list = useMemo(() => endpoints(answer?.data ?? [], answers?.data ?? [], STEP[answer?.resolution ?? "minute"]), [answer, answers]);
  const named = list.filter(({ endpoint }) => endpoint);
  if (named.length === 0) return null;
  const times = (answer?.data ?? []).map(({ bucket }) => Date.parse(bucket) / 1000);
  const covered = Math.max(60, Math.min(range.value.seconds, Date.now() / 1000 - Math.min(...times)));
  return (
    <section class="block" aria-labelledby="slow">
      <div class="sec-head in">
        <h2 id="slow">Where the time goes</h2>
        <span class="t3">
          {Math.min(SHOWN, named.length)} of {named.length} endpoints, by share of all time spent
        </span>
        <a class="link end" href={href("", withQuery(place.value.query, { view: "explore", metric: DURATIONS, by: "method,endpoint" }))} data-go>
          All in Explore
        </a>
      </div>
      <div class="table-wrap">
        <table class="table endpoints">
          <caption class="sr-only">Endpoints by the time spent in them</caption>
          <colgroup>
            <col class="e-name" />
            <col />
            <col class="e-n" />
            <col class="e-n" />
            <col class="e-w" />
            <col class="e-n" />
            <col class="e-trend" />
          </colgroup>
          <thead>
            <tr>
              <th>Endpoint</th>
              <th aria-sort="descending">Share of time</th>
              <th class="num">Rate</th>
              <th class="num c-mean">Mean</th>
              <th class="num" title="The highest 95th percentile of one bucket">p95, worst {hourly ? "hour" : "minute"}</th>
              <th class="num">Errors</th>
              <th class="c-trend">p95</th>
            </tr>
          </thead>
          <tbody>
            {named.slice(0, SHOWN).map((one) => (
              <Row key={`${one.method} ${one.endpoint}`} one={one} covered={covered} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Row({ one, covered }: { one: Endpoint; covered: number }) {
  const bad = one.errors !== null && one.errors >= MANY_ERRORS;
  return (
    <tr>
      <td class="c-name">
        <span class="ep cut" title={`${one.method} ${one.endpoint}`}>
          <span class="mono t3">{one.method}</span>
          <span class="mono cut">{one.endpoint}</span>
        </span>
      </td>
      <td class="c-share">
        <Share share={one.share}>{percent(one.share)}</Share>
      </td>
      <td class="num c-rate">{perTime(one.requests / covered)}</td>
      <td class="num t2 c-mean">{quantity(one.mean, "seconds")}</td>
      <td class="num c-p95">
        <b>{quantity(one.worst, "seconds")}</b>
      </td>
      <td class={`num c-err${bad ? " red" : ""}`}>{percent(one.errors)}</td>
      <td class="c-trend">
        <Sparkline values={one.trend} label={`p95 of ${one.method} ${one.endpoint}`} />
      </td>
    </tr>
  );
}
