/** Issues: is something new or worse? */
import { useEffect } from "preact/hooks";
import { plural, THIN } from "@kit/format";
import { Icon } from "@kit/icons";
import { lazy } from "@kit/lazy";
import { Live, useRefresh } from "@kit/live";
import { useCommands } from "@kit/commands";
import { rangeText } from "@kit/range";
import { RangeMenu } from "@kit/range-menu";
import { Page } from "@kit/shell";
import { FaultBanner, FaultState, Skeleton } from "@kit/states";
import { go, href, place, setParams, withQuery } from "@kit/url";
import type { State } from "./api";
import { FilterBar } from "./filters";
import { filters, fresh, groups, listed, listQuery, question, range, refresh, reload, searchFault, selected, source, totals, totalText } from "./model";
import { service } from "./service";
import { Table } from "./table";

const Nothing = lazy<object>("Nothing");
const SelectionBar = lazy<object>("SelectionBar");

const TABS: { state: State; label: string }[] = [
  { state: "open", label: "Open" },
  { state: "ignored", label: "Ignored" },
  { state: "resolved", label: "Resolved" },
  { state: "all", label: "All" },
];

export function IssueList() {
  useEffect(() => {
    listed.value = true;
    selected.value = new Set();
    void reload();
  }, [question.value]);
  useRefresh(() => void refresh());
  const { state } = filters();
  useCommands(() =>
    groups.value.map((group) => ({
      group: "Issues",
      label: `${group.exception_type} ${group.message}`.slice(0, 200),
      icon: "errors",
      run: () => go(`errors/${group.id}`, listQuery()),
    })),
  );
  const total = totals.value[state];
  return (
    <Page
      title="Issues"
      service={service()}
      class="issues-page"
      head={
        <>
          <h1>Issues</h1>
          <nav class="tabs" aria-label="State">
            {TABS.map((tab) => (
              <a
                key={tab.state}
                href={href("", withQuery(place.value.query, { state: tab.state === "open" ? null : tab.state, resolved: null }))}
                data-go
                {...(tab.state === state ? { "aria-current": "page" as const } : {})}
              >
                {tab.label} <span class="n">{totalText(totals.value[tab.state])}</span>
              </a>
            ))}
          </nav>
          <div class="head-end">
            <RangeMenu range={range.value} all onChange={(next) => setParams({ range: next.kind === "all" ? null : rangeText(next) })} />
            <Live fault={source.fault.value} retryAt={source.retryAt.value} />
          </div>
        </>
      }
      status={
        <>
          <span>{total === null ? "…" : `${groups.value.length} of ${totalText(total)}`}</span>
          {source.took.value !== null && <span>{Math.max(1, Math.round(source.took.value))}{THIN}ms</span>}
        </>
      }
      hints={[
        [["j", "k"], "move"],
        [["x"], "select"],
        [["Enter"], "open"],
        [["e"], "resolve"],
        [["m"], "ignore"],
      ]}
    >
      <FilterBar />
      {searchFault() === null && <FaultBanner source={source} onRetry={() => void reload()} />}
      <Body />
      {selected.value.size > 0 && <SelectionBar />}
      <FreshPill />
    </Page>
  );
}

function Body() {
  const list = source.data.value;
  if (!list) {
    if (searchFault() !== null) return <Nothing />;
    if (source.fault.value) return <FaultState source={source} onRetry={() => void reload()} />;
    return source.slow.value ? <Skeleton /> : null;
  }
  if (groups.value.length === 0) return <Nothing />;
  return <Table />;
}

function FreshPill() {
  const n = fresh.value.length;
  if (n === 0) return null;
  return (
    <button
      class="new-pill top"
      type="button"
      onClick={() => {
        document.getElementById("main")?.scrollTo({ top: 0 });
        scrollTo({ top: 0 });
        void reload();
      }}
    >
      <Icon name="up" small />
      {plural(n, "new issue")}
    </button>
  );
}
