/** The list of issues as the pages know it. The list and the page of one issue share it. */
import { batch, computed, signal, untracked } from "@preact/signals";
import { Fault } from "@kit/api";
import { count } from "@kit/format";
import { bounds, parseRange, type Range, rangeText } from "@kit/range";
import { Source } from "@kit/source";
import { toast } from "@kit/toast";
import { param, place, withQuery } from "@kit/url";
import { FACTS, type Fact, type Filters, type Group, type GroupList, type GroupState, listFacets, listGroups, listProjects, type Sort, SORTS, type Start, type State } from "./api";

export const PAGE = 100;
const ALL: Range = { kind: "all" };
/** Addresses of the first version had `resolved=` instead of `state=`. */
const FORMER: Record<string, State> = { true: "resolved", 1: "resolved", all: "all" };
export const range = computed<Range>(() => parseRange(param("range"), new Date()) ?? ALL);

export function filters(): Filters {
  const state = param("state") as State;
  const sort = param("sort") as Sort;
  const { since, until } = bounds(range.value, new Date());
  return {
    ...(Object.fromEntries(FACTS.map((name) => [name, param(name)])) as Record<Fact, string>),
    state: ["ignored", "resolved", "all"].includes(state) ? state : (FORMER[param("resolved")] ?? "open"),
    search: param("q") || param("search"),
    sort: SORTS.includes(sort) ? sort : "last_seen",
    since,
    until,
  };
}

/** How many there are, or at least are. */
export interface Total {
  n: number;
  exact: boolean;
}

/** `1,204`, or `1,000+` where the service counted no further. */
export function totalText(total: Total | null): string {
  return total ? count(total.n) + (total.exact ? "" : "+") : "";
}

/** The issues on the page, in the order in which they came; a refresh changes them in place. */
export const groups = signal<Group[]>([]);
/** How many of each state match the other filters. */
export const totals = signal<Record<State, Total | null>>({ open: null, ignored: null, resolved: null, all: null });
/** Whether the reader has seen the list: then an issue has a next one. */
export const listed = signal(false);
/** What a refresh found that is not on the page yet. */
export const fresh = signal<Group[]>([]);
export const selected = signal<ReadonlySet<number>>(new Set());
export const more = signal(false);
/** Whether the choices of ignoring are open, for what is selected. */
export const ignoring = signal(false);
/** Where the rows behind the last one begin; undefined when the service has no cursors. */
let cursor: string | null | undefined;

export const source = new Source<GroupList>((abort) => listGroups(untracked(filters), PAGE, { offset: 0 }, abort));
export const projects = new Source((abort) => listProjects(abort));
export const facets = new Source((abort) => listFacets(untracked(filters).project, abort));

/** Why the service does not take the search text; said below the field. */
export function searchFault(): string | null {
  const fault = source.fault.value;
  return fault?.kind === "refused" && filters().search ? fault.detail.replace(/^search: /, "") : null;
}

/** Loads the list anew: selection kept where it still is there. */
export async function reload(): Promise<void> {
  await source.load();
  const list = source.data.peek();
  if (!list || source.fault.peek()) return;
  cursor = list.next_cursor;
  batch(() => {
    groups.value = list.errors;
    fresh.value = [];
    const ids = new Set(list.errors.map(({ id }) => id));
    selected.value = new Set([...selected.peek()].filter((id) => ids.has(id)));
  });
  void recount(list);
}

/** Looks for news without moving a row: known issues change in place, new ones wait. */
export async function refresh(): Promise<void> {
  await source.load();
  const list = source.data.peek();
  if (!list || source.fault.peek()) return;
  const newest = new Map(list.errors.map((group) => [group.id, group]));
  const shown = groups.peek();
  const { sort } = untracked(filters);
  batch(() => {
    groups.value = shown.map((group) => newest.get(group.id) ?? group);
    const known = new Set(shown.map(({ id }) => id));
    const last = shown.at(-1);
    // What belongs below the last row is not news.
    fresh.value = list.errors.filter((group) => !known.has(group.id) && (shown.length < PAGE || !last || rank(group, sort) > rank(last, sort)));
  });
  if (shown.length === 0 && list.errors.length > 0) {
    groups.value = list.errors;
    cursor = list.next_cursor;
  }
  void recount(list);
}

/** What a list is sorted by, the highest first. */
function rank(group: Group, sort: Sort): string | number {
  return group[sort] ?? 0;
}

/** Asks how many issues of each state match the other filters. `list` is a fresh answer for the state that is shown. */
export async function recount(list?: GroupList): Promise<void> {
  const wanted = untracked(filters);
  const asked = question.peek();
  const found = { ...totals.peek() };
  const keep = (state: State, { total, total_exact }: GroupList) => (found[state] = { n: total, exact: total_exact !== false });
  if (list) keep(wanted.state, list);
  try {
    for (const state of ["open", "ignored", "resolved"] as const) {
      if (!list || state !== wanted.state) keep(state, (await listGroups({ ...wanted, state, sort: "last_seen" }, 1)).data);
    }
  } catch (reason) {
    // The list itself says what is wrong; a tab without its number is no fault of its own.
    if (!(reason instanceof Fault)) throw reason;
    return;
  }
  const states = [found.open, found.ignored, found.resolved];
  if ((!list || wanted.state !== "all") && states.every((one) => one !== null)) found.all = { n: states.reduce((sum, one) => sum + one.n, 0), exact: states.every(({ exact }) => exact) };
  // The answers may come after the reader has gone on to another question.
  if (question.peek() === asked) totals.value = found;
}

/** Whether there are rows behind the last one. */
export function hasMore(): boolean {
  if (cursor !== undefined) return cursor !== null;
  return groups.value.length < (totals.value[filters().state]?.n ?? 0);
}

/** Loads the rows that follow the last one. */
export async function loadMore(): Promise<void> {
  if (more.peek()) return;
  more.value = true;
  try {
    const start: Start = cursor ? { cursor } : { offset: groups.peek().length };
    const { data } = await listGroups(untracked(filters), PAGE, start);
    const known = new Set(groups.peek().map(({ id }) => id));
    cursor = data.next_cursor;
    groups.value = [...groups.peek(), ...data.errors.filter(({ id }) => !known.has(id))];
  } catch (reason) {
    toast(reason instanceof Fault ? reason.detail : String(reason), { icon: "warn" });
  }
  more.value = false;
}

/** Shows what became of some issues: those that no longer belong into the list leave it. `state` is null for deleted ones. */
export function moved(ids: readonly number[], state: GroupState | null): void {
  const gone = new Set(ids);
  const shown = untracked(filters).state;
  batch(() => {
    groups.value = groups.peek().flatMap((group) => {
      if (!gone.has(group.id)) return [group];
      return state !== null && (shown === "all" || shown === state) ? [{ ...group, state, resolved: state === "resolved", reopened: false }] : [];
    });
    selected.value = new Set([...selected.peek()].filter((id) => !gone.has(id)));
  });
  void recount();
}

/** What changes the question; the list is asked again when it does. */
export const question = computed(() => {
  const { since: _, until: __, ...rest } = filters();
  return JSON.stringify([rest, rangeText(range.value)]);
});

/** What of the URL belongs to the list, for links to an issue and back. */
export function listQuery(): string {
  return withQuery(place.value.query, { occurrence: null, stack: null });
}
