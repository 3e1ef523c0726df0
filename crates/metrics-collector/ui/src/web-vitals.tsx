/** Web vitals: how fast the pages are for real people, and which of them are not. */
import { count, parts, percent, plural, quantity } from "@kit/format";
import { Share, Sparkline } from "@kit/strip";
import type { Dashboard, Vital } from "./api";
import { Big, RatingMark } from "./parts";
import { rate, RATING_CLASS, RATING_WORDS, VITALS, type VitalKind } from "./vitals";

export function WebVitals({ vitals }: { vitals: NonNullable<Dashboard["web_vitals"]> }) {
  const present = VITALS.filter(({ id }) => vitals.summary[id] !== undefined);
  const byP75 = present.some(({ id }) => vitals.summary[id]?.p75 != null);
  const views = vitals.summary.lcp?.count ?? Math.max(0, ...present.map(({ id }) => vitals.summary[id]!.count));
  return (
    <section class="block" aria-labelledby="vitals">
      <div class="sec-head in">
        <h2 id="vitals">Web vitals</h2>
        <span class="t3">
          {byP75 ? "75th percentile" : "mean"} of {plural(views, "page view")} in browsers
        </span>
      </div>
      <ul class={`vitals of-${present.length}`}>
        {present.map((kind) => (
          <VitalCard key={kind.id} kind={kind} vital={vitals.summary[kind.id]!} trend={vitals.timeseries.map((row) => row.p75?.[kind.id] ?? row[kind.id] ?? null)} />
        ))}
      </ul>
      <Pages pages={vitals.by_page} />
    </section>
  );
}

function VitalCard({ kind, vital, trend }: { kind: VitalKind; vital: Vital; trend: (number | null)[] }) {
  const value = vital.p75 ?? vital.avg;
  const rating = vital.p75 == null ? vital.rating : (vital.p75_rating ?? rate(kind, vital.p75));
  const shown = parts(value, kind.unit);
  return (
    <li class="vital">
      <h3>
        {kind.short} <span class="t3">{kind.name}</span>
      </h3>
      <Big number={shown.number} unit={shown.unit} />
      <p class={`rating ${RATING_CLASS[rating]}`}>
        <RatingMark rating={rating} />
        {RATING_WORDS[rating]}
      </p>
      {vital.shares && <Shares shares={vital.shares} />}
      <p class="limits t3">{kind.limits}</p>
      <div class="vital-trend">
        <Sparkline values={trend} label={`${kind.short} over the range`} />
      </div>
    </li>
  );
}

/** The measurements from good to poor. The colour under the mark at three quarters is the rating. */
function Shares({ shares }: { shares: NonNullable<Vital["shares"]> }) {
  const good = shares.good * 100;
  const improve = shares["needs-improvement"] * 100;
  const poor = shares.poor * 100;
  const label = `${percent(shares.good)} good, ${percent(shares["needs-improvement"])} need improvement, ${percent(shares.poor)} poor`;
  return (
    <>
      <div class="dist3-box">
        <span class="p75-name">p75</span>
        <svg class="dist3" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={label}>
          <rect class="good" width={good} height="8" />
          <rect class="improve" x={good} width={improve} height="8" />
          <rect class="poor" x={good + improve} width={poor} height="8" />
          <path class="p75" d="M75 0V8" />
        </svg>
      </div>
      <p class="dist3-n" aria-hidden="true">
        <span class="green">{percent(shares.good)}</span>
        <span class="amber">{percent(shares["needs-improvement"])}</span>
        <span class="red">{percent(shares.poor)}</span>
      </p>
    </>
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
                const value = row.p75?.[kind.id] ?? row[kind.id] ?? null;
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
