/** Issues: is something new or worse? */
import { useEffect } from "preact/hooks";
import { now } from "@kit/dom";
import { age, count, fullTime, plural, THIN } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { lazy } from "@kit/lazy";
import { Live, RefreshButton, useRefresh } from "@kit/live";
import { Chip, Filter } from "@kit/menu";
import { useCommands } from "@kit/commands";
import { rangeText } from "@kit/range";
import { RangeMenu } from "@kit/range-menu";
import { useRows } from "@kit/rows";
import { Page } from "@kit/shell";
import { FaultBanner, FaultState, Skeleton } from "@kit/states";
import { Ago, Hostile } from "@kit/text";
import { go, href, place, setParams, withQuery } from "@kit/url";
import type { Group, State } from "./api";
import { copyGroups } from "./copying";
import { filters, fresh, groups, listed, listQuery, loadMore, more, PAGE, projects, question, range, refresh, reload, resolveAll, selected, source, totals } from "./model";
import { service } from "./service";

/** An issue first seen within this stretch is called new, in milliseconds. */
const NEW_FOR = 86_400_000;
const MANY = 1000;

const Nothing = lazy<object>("Nothing");
const SelectionBar = lazy<object>("SelectionBar");

const TABS: { state: State; label: string }[] = [
  { state: "open", label: "Open" },
  { state: "resolved", label: "Resolved" },
  { state: "all", label: "All" },
];

export function IssueList() {
  useEffect(() => {
    listed.value = true;
    selected.value = new Set();
    void reload();
  }, [question.value]);
  useEffect(() => void projects.load(), []);
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
                href={href("", withQuery(place.value.query, { state: tab.state === "open" ? null : tab.state }))}
                data-go
                {...(tab.state === state ? { "aria-current": "page" as const } : {})}
              >
                {tab.label} <span class="n">{totals.value[tab.state] === null ? "" : count(totals.value[tab.state])}</span>
              </a>
            ))}
          </nav>
          <div class="head-end">
            <RangeMenu range={range.value} all absolute={false} onChange={(next) => setParams({ range: next.kind === "all" ? null : rangeText(next) })} />
            <Live fault={source.fault.value} retryAt={source.retryAt.value} />
          </div>
        </>
      }
      status={
        <>
          <span>{total === null ? "…" : `${count(groups.value.length)} of ${count(total)}`}</span>
          {source.took.value !== null && <span>{Math.max(1, Math.round(source.took.value))}{THIN}ms</span>}
        </>
      }
      hints={[
        [["j", "k"], "move"],
        [["x"], "select"],
        [["Enter"], "open"],
        [["e"], "resolve"],
      ]}
    >
      <FilterBar />
      <FaultBanner source={source} onRetry={() => void reload()} />
      <Body />
      {selected.value.size > 0 && <SelectionBar />}
      <FreshPill />
    </Page>
  );
}

function FilterBar() {
  const { project, source: origin, session } = filters();
  useKeys("Page", { Backspace: { run: () => (session ? setParams({ session: null }) : false) } });
  const names = projects.data.value?.projects ?? [];
  return (
    <div class="tools" role="search">
      <div class="filters">
        <Filter
          label="Project"
          value={project}
          choices={names.map((name) => ({ value: name, label: name || "(no name)" }))}
          none="No project has sent anything yet."
          onChange={(next) => setParams({ project: next })}
        />
        <Filter
          label="Source"
          value={origin}
          choices={[
            { value: "server", label: "Server" },
            { value: "browser", label: "Browser" },
          ]}
          onChange={(next) => setParams({ source: next })}
        />
        {session && <Chip label="Session" value={session} onRemove={() => setParams({ session: null })} />}
      </div>
      <div class="tools-end">
        <RefreshButton busy={source.busy.value} onClick={() => void reload()} />
      </div>
    </div>
  );
}

function Body() {
  const list = source.data.value;
  if (!list) {
    if (source.fault.value) return <FaultState source={source} onRetry={() => void reload()} />;
    return source.slow.value ? <Skeleton /> : null;
  }
  if (groups.value.length === 0) return <Nothing />;
  return <Table />;
}

function toggle(id: number): void {
  const next = new Set(selected.peek());
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

function Table() {
  const ids = groups.value.map(({ id }) => id);
  const rows = useRows(ids);
  const all = selected.value.size > 0 && selected.value.size === ids.length;
  const targets = () => (selected.value.size > 0 ? [...selected.value] : rows.cursor.value === null ? [] : [rows.cursor.value]);
  useKeys("List", {
    x: { label: "select", run: () => (rows.cursor.value === null ? false : toggle(rows.cursor.value)) },
    "Mod+a": { label: "select all shown", run: () => void (selected.value = new Set(ids)) },
    e: { label: "resolve", run: () => (targets().length > 0 ? void resolveAll(targets()) : false) },
    c: { label: "copy as Markdown", run: () => (targets().length > 0 ? void copyGroups(targets()) : false) },
    Escape: { label: "clear the selection", run: () => (selected.value.size > 0 ? void (selected.value = new Set()) : false) },
  });
  const total = totals.value[filters().state] ?? 0;
  return (
    <>
      <table class={`table issues${source.slow.value ? " stale" : ""}`} role="table" aria-label="Issues, newest first">
        <colgroup>
          <col class="w-check" />
          <col />
          <col class="w-ev" />
          <col class="w-last" />
          <col class="w-first" />
        </colgroup>
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader">
              <input
                class="check"
                type="checkbox"
                aria-label="Select all shown"
                checked={all}
                indeterminate={!all && selected.value.size > 0}
                onChange={() => (selected.value = all ? new Set() : new Set(ids))}
              />
            </th>
            <th role="columnheader">Issue</th>
            <th role="columnheader" class="num">
              Events
            </th>
            <th role="columnheader" class="num" aria-sort="descending">
              Last seen <Icon name="down" small />
            </th>
            <th role="columnheader" class="num c-first">
              Age
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup" ref={(body) => void (rows.list.current = body)}>
          {groups.value.map((group) => (
            <IssueRow key={group.id} group={group} at={rows.cursor.value === group.id} tabIndex={rows.tabIndex(group.id)} onFocus={() => rows.put(group.id)} />
          ))}
        </tbody>
      </table>
      {groups.value.length < total && (
        <p class="more-rows">
          <button class="btn" type="button" aria-disabled={more.value} onClick={() => void loadMore()}>
            Show {count(Math.min(PAGE, total - groups.value.length))} more
          </button>
        </p>
      )}
    </>
  );
}

interface RowProps {
  group: Group;
  at: boolean;
  tabIndex: 0 | -1;
  onFocus: () => void;
}

function IssueRow({ group, at, tabIndex, onFocus }: RowProps) {
  const picked = selected.value.has(group.id);
  const first = new Date(group.first_seen);
  const target = `errors/${group.id}`;
  return (
    <tr
      role="row"
      data-row={group.id}
      data-cursor={at || undefined}
      aria-selected={picked}
      onFocusCapture={onFocus}
      onClick={(event) => {
        // The whole row opens, except where it has controls of its own or text is being selected.
        if ((event.target as Element).closest("a, input, button") || !getSelection()?.isCollapsed) return;
        go(target, listQuery());
      }}
    >
      <td role="cell" class="c-check">
        <input class="check" type="checkbox" tabIndex={tabIndex} checked={picked} aria-label={`Select ${group.exception_type}`} onChange={() => toggle(group.id)} />
      </td>
      <td role="cell" class="c-issue">
        <div class="issue">
          <a class="issue-title cut" href={href(target, listQuery())} data-go data-focus tabIndex={tabIndex} title={`${group.exception_type}: ${group.message}`.slice(0, 1000)}>
            <b>
              <Hostile text={group.exception_type} />
            </b>{" "}
            <Hostile text={firstLine(group.message)} />
          </a>
          <Badge group={group} first={first} />
        </div>
        <div class="issue-sub cut">
          <button class="inline" type="button" tabIndex={-1} title="Only this project" onClick={() => setParams({ project: group.project })}>
            {group.project || "(no project)"}
          </button>
          <button class="inline" type="button" tabIndex={-1} title="Only this source" onClick={() => setParams({ source: group.source })}>
            {group.source === "browser" ? "Browser" : "Server"}
          </button>
        </div>
      </td>
      <td role="cell" class={`num c-ev${group.count >= MANY ? " many" : ""}`}>
        {count(group.count)}
        <span class="c-unit"> {group.count === 1 ? "event" : "events"}</span>
      </td>
      <td role="cell" class="num c-last">
        <Ago time={new Date(group.last_seen)} />
      </td>
      <td role="cell" class="num t3 c-first">
        <time dateTime={group.first_seen} title={fullTime(first)}>
          {age(now.value.getTime() - first.getTime())}
        </time>
      </td>
    </tr>
  );
}

/** One badge at most. */
function Badge({ group, first }: { group: Group; first: Date }) {
  if (group.resolved) return filters().state === "all" ? <span class="badge green">Resolved</span> : null;
  return now.value.getTime() - first.getTime() < NEW_FOR ? <span class="badge accent">New</span> : null;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 400);
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
