/** The rows of the list, and what sorts them. */
import { useEffect, useRef } from "preact/hooks";
import { now } from "@kit/dom";
import { age, count, fullTime } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { Filter } from "@kit/menu";
import { useRows } from "@kit/rows";
import { Ago, Hostile } from "@kit/text";
import { go, href, setParams } from "@kit/url";
import { type Group, type Sort, SORTS, stateOf } from "./api";
import { copyGroups } from "./copying";
import { decide, decided } from "./decisions";
import { filters, groups, hasMore, ignoring, listQuery, loadMore, more, PAGE, selected, source, totals } from "./model";
import { Spark } from "./spark";

/** An issue first seen within this stretch is called new, in milliseconds. It is that of the sparklines. */
const NEW_FOR = 86_400_000;
const MANY = 1000;

const SORT_NAMES: Record<Sort, { column: string; order: string }> = {
  last_seen: { column: "Last seen", order: "newest first" },
  first_seen: { column: "Age", order: "youngest first" },
  count: { column: "Events", order: "most events first" },
  users: { column: "Users", order: "most users first" },
};

/** The head of a column that sorts. Ages rise where the first event is the newest. */
function SortHead({ sort, class: more = "" }: { sort: Sort; class?: string }) {
  const on = filters().sort === sort;
  const rising = sort === "first_seen";
  return (
    <th role="columnheader" class={`num ${more}`} {...(on ? { "aria-sort": rising ? ("ascending" as const) : ("descending" as const) } : {})}>
      <button type="button" title={`Sort: ${SORT_NAMES[sort].order}`} onClick={() => setParams({ sort: sort === SORTS[0] ? null : sort })}>
        {SORT_NAMES[sort].column}
        {on && <Icon name={rising ? "up" : "down"} small />}
      </button>
    </th>
  );
}

/** Sorting where there are no column heads. */
export function SortMenu() {
  const { sort } = filters();
  const [usual, ...others] = SORTS;
  return (
    <Filter
      label="Sort"
      all={SORT_NAMES[usual].column}
      value={sort === usual ? "" : sort}
      choices={others.map((value) => ({ value, label: SORT_NAMES[value].column }))}
      onChange={(next) => setParams({ sort: next })}
    />
  );
}

function toggle(id: number): void {
  const next = new Set(selected.peek());
  if (!next.delete(id)) next.add(id);
  selected.value = next;
}

export function Table() {
  const ids = groups.value.map(({ id }) => id);
  const rows = useRows(ids);
  const all = selected.value.size > 0 && selected.value.size === ids.length;
  const targets = () => (selected.value.size > 0 ? [...selected.value] : rows.cursor.value === null ? [] : [rows.cursor.value]);
  const every = (state: string) => groups.value.every((group) => !targets().includes(group.id) || stateOf(group) === state);
  useNextRow(ids, rows);
  useKeys("List", {
    x: { label: "select", run: () => (rows.cursor.value === null ? false : toggle(rows.cursor.value)) },
    "Mod+a": { label: "select all shown", run: () => void (selected.value = new Set(ids)) },
    e: { label: "resolve or reopen", run: () => (targets().length > 0 ? void decide(targets(), { action: every("resolved") ? "reopen" : "resolve" }) : false) },
    m: {
      label: "ignore or reopen",
      run: () => {
        if (targets().length === 0) return false;
        if (every("ignored")) return void decide(targets(), { action: "reopen" });
        // The choices are in the bar of the selection.
        selected.value = new Set(targets());
        ignoring.value = true;
      },
    },
    c: { label: "copy as Markdown", run: () => (targets().length > 0 ? void copyGroups(targets()) : false) },
    Escape: { label: "clear the selection", run: () => (selected.value.size > 0 ? void (selected.value = new Set()) : false) },
  });
  const { state, sort } = filters();
  const total = totals.value[state];
  const rest = total?.exact ? total.n - ids.length : PAGE;
  const users = groups.value.some((group) => (group.users ?? 0) > 0);
  const sparks = groups.value.some((group) => group.sparkline);
  return (
    <>
      <table class={`table issues${source.slow.value ? " stale" : ""}`} role="table" aria-label={`Issues, ${SORT_NAMES[sort].order}`}>
        <colgroup>
          <col class="w-check" />
          <col />
          {sparks && <col class="w-spark" />}
          <col class="w-ev" />
          {users && <col class="w-us" />}
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
            {sparks && <th role="columnheader">24 hours</th>}
            <SortHead sort="count" />
            {users && <SortHead sort="users" />}
            <SortHead sort="last_seen" />
            <SortHead sort="first_seen" class="c-first" />
          </tr>
        </thead>
        <tbody role="rowgroup" ref={(body) => void (rows.list.current = body)}>
          {groups.value.map((group) => (
            <IssueRow
              key={group.id}
              group={group}
              at={rows.cursor.value === group.id}
              tabIndex={rows.tabIndex(group.id)}
              sparks={sparks}
              users={users}
              onFocus={() => rows.put(group.id)}
            />
          ))}
        </tbody>
      </table>
      {hasMore() && rest > 0 && (
        <p class="more-rows">
          <button class="btn" type="button" aria-disabled={more.value} onClick={() => void loadMore()}>
            Show {count(Math.min(PAGE, rest))} more
          </button>
        </p>
      )}
    </>
  );
}

/** When a decision takes the row under the cursor away, the cursor goes to the one that follows it. */
function useNextRow(ids: readonly number[], rows: ReturnType<typeof useRows>): void {
  const before = useRef<readonly number[]>(ids);
  // As it was when the rows were drawn: an effect may run late, when a decision has been taken but not drawn yet.
  const turn = decided.value;
  const known = useRef(turn);
  useEffect(() => {
    const was = before.current;
    before.current = ids;
    const at = rows.cursor.peek();
    if (known.current === turn) return;
    known.current = turn;
    if (at === null || ids.includes(at)) return;
    const left = new Set(ids);
    const next = was.slice(was.indexOf(at)).find((id) => left.has(id)) ?? ids.at(-1);
    if (next !== undefined) rows.put(next, true);
  });
}

interface RowProps {
  group: Group;
  at: boolean;
  tabIndex: 0 | -1;
  sparks: boolean;
  users: boolean;
  onFocus: () => void;
}

function IssueRow({ group, at, tabIndex, sparks, users, onFocus }: RowProps) {
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
          <Value title="Only this project" set={{ project: group.project }}>
            {group.project || "(no project)"}
          </Value>
          <Value title="Only this source" set={{ source: group.source }}>
            {group.source === "browser" ? "Browser" : "Server"}
          </Value>
          {group.release && (
            <Value title="Only this release" set={{ release: group.release }}>
              <Hostile text={group.release} />
            </Value>
          )}
          {group.level && group.level !== "error" && (
            <Value title="Only this level" set={{ level: group.level }}>
              <Hostile text={group.level} />
            </Value>
          )}
        </div>
      </td>
      {sparks && (
        <td role="cell" class="c-spark">
          <Spark values={group.sparkline ?? []} unit="hour" />
        </td>
      )}
      <td role="cell" class={`num c-ev${group.count >= MANY ? " many" : ""}`}>
        {count(group.count)}
        <span class="c-unit"> {group.count === 1 ? "event" : "events"}</span>
      </td>
      {users && <td role="cell" class="num c-us">{group.users ? count(group.users) : <span class="t3">–</span>}</td>}
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

/** A value in a row: a click makes it a filter. */
function Value({ title, set, children }: { title: string; set: Record<string, string>; children: preact.ComponentChildren }) {
  return (
    <button class="inline" type="button" tabIndex={-1} title={title} onClick={() => setParams(set)}>
      {children}
    </button>
  );
}

/** One badge at most. */
function Badge({ group, first }: { group: Group; first: Date }) {
  const state = stateOf(group);
  if (state !== "open") {
    if (filters().state !== "all") return null;
    return state === "resolved" ? <span class="badge green">Resolved</span> : <span class="badge">Ignored</span>;
  }
  if (group.reopened) return <span class="badge amber">Reopened</span>;
  return now.value.getTime() - first.getTime() < NEW_FOR ? <span class="badge accent">New</span> : null;
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!.slice(0, 400);
}
