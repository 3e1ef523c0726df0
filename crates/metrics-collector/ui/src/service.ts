import type { Service } from "@kit/shell";
import { param, place, withQuery } from "@kit/url";

export function service(): Service {
  const exploring = param("view") === "explore";
  const query = place.value.query;
  return {
    id: "metrics",
    name: "Metrics",
    title: "Metrics Collector",
    pages: [
      { path: "", query: withQuery(query, { view: null, metric: null, agg: null, labels: null, by: null, as: null, find: null }), label: "Overview", here: !exploring },
      { path: "", query: withQuery(query, { view: "explore", metric: null, agg: null, labels: null, by: null, as: null }), label: "Explore", here: exploring },
    ],
  };
}
