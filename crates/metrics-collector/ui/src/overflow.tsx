/** Says which metrics have more label sets than the collector keeps apart. */
import { plural } from "@kit/format";
import { Icon } from "@kit/icons";
import { href } from "@kit/url";
import type { Overflowing } from "./api";
import { project, stats } from "./model";
import { exploreQuery } from "./overview";

/** So many are named; more are a number. */
const NAMED = 3;

/** What overflows in the project of the page, of one metric or of any. */
export function overflowing(metric?: string): Overflowing[] {
  const all = stats.data.value?.overflowing ?? [];
  return all.filter((one) => (!project.value || one.project === project.value) && (!metric || one.name === metric));
}

/** One line above the content, absent while every label set has a series of its own. */
export function OverflowBanner({ metric }: { metric?: string }) {
  // A name may be there in several projects and types.
  const found = [...new Set(overflowing(metric).map(({ name }) => name))];
  if (found.length === 0) return null;
  const rest = found.length - NAMED;
  return (
    <div class="banner" role="status">
      <Icon name="warn" />
      <span>
        {metric ? (
          "This metric has"
        ) : (
          <>
            {found.slice(0, NAMED).map((name, at) => (
              <>
                {at > 0 && ", "}
                <a class="mono link" href={href("", exploreQuery(name))} data-go>
                  {name}
                </a>
              </>
            ))}
            {rest > 0 && ` and ${plural(rest, "other metric")}`} {found.length > 1 ? "have" : "has"}
          </>
        )}{" "}
        more label sets than are kept apart. The rest is counted together, with the label <span class="mono">__overflow__</span>.
      </span>
    </div>
  );
}
