/** The list of issues as the pages know it. The list and the page of one issue share it. */
import { batch, computed, signal, untracked } from "@preact/signals";
import { Fault } from "@kit/api";
import { plural } from "@kit/format";
import { bounds, parseRange, type Range, rangeText } from "@kit/range";
import { Source } from "@kit/source";
import { toast } from "@kit/toast";
import { param, place, withQuery } from "@kit/url";
import { type Filters, type Group, type GroupList, listGroups, listProjects, resolveGroup, type State } from "./api";

export const PAGE = 100;
const ALL: Range = { kind: "all" };
export const range = computed<Range>(() => parseRange(param("range"), new Date()) ?? ALL);

export function filters(): Filters {
  const state = param("state");
  return {
    state: state === "resolved" || state === "all" ? state : "open",
    project: param("project"),
    source: param("source"),
    session: param("session"),
    since: bounds(range.value, new Date()).since,
  };
}

/** The issues on the page, in the order in which they came; a refresh changes them in place. */
export const groups = signal<Group[]>([]);
/** How many of each state match the other filters. */
export const totals = signal<Record<State, number | null>>({ open: null, resolved: null, all: null });
/** Whether the reader has seen the list: then an issue has a next one. */
export const listed = signal(false);
/** What a refresh found that is not on the page yet. */
export const fresh = signal<Group[]>([]);
export const selected = signal<ReadonlySet<number>>(new Set());
export const more = signal(false);

export const source = new Source<GroupList>((abort) => listGroups(untracked(filters), PAGE, 0, abort));
export const projects = new Source((abort) => listProjects(abort));

/** Loads the list anew: the newest first, selection kept where it still is there. */
export async function reload(): Promise<void> {
  await source.load();
  const list = source.data.peek();
  if (!list || source.fault.peek()) return;
  batch(() => {
    groups.value = list.errors;
    fresh.value = [];
    const ids = new Set(list.errors.map(({ id }) => id));
    selected.value = new Set([...selected.peek()].filter((id) => ids.has(id)));
  });
  void countOthers(list.total);
}

/** Looks for news without moving a row: known issues change in place, new ones wait. */
export async function refresh(): Promise<void> {
  await source.load();
  const list = source.data.peek();
  if (!list || source.fault.peek()) return;
  const newest = new Map(list.errors.map((group) => [group.id, group]));
  const shown = groups.peek();
  batch(() => {
    groups.value = shown.map((group) => newest.get(group.id) ?? group);
    const known = new Set(shown.map(({ id }) => id));
    const last = shown.at(-1)?.last_seen ?? "";
    // Older ones than the last row belong below it and are not news.
    fresh.value = list.errors.filter(({ id, last_seen }) => !known.has(id) && (shown.length < PAGE || last_seen > last));
  });
  if (shown.length === 0 && list.errors.length > 0) groups.value = list.errors;
  void countOthers(list.total);
}

async function countOthers(total: number): Promise<void> {
  const wanted = untracked(filters);
  const found: Record<State, number | null> = { ...totals.peek(), [wanted.state]: total };
  const others = (["open", "resolved"] as const).filter((state) => state !== wanted.state);
  try {
    for (const state of others) found[state] = (await listGroups({ ...wanted, state }, 1, 0)).data.total;
  } catch (reason) {
    // The list itself says what is wrong; a tab without its number is no fault of its own.
    if (!(reason instanceof Fault)) throw reason;
    return;
  }
  if (wanted.state !== "all" && found.open !== null && found.resolved !== null) found.all = found.open + found.resolved;
  totals.value = found;
}

/** Loads the rows that follow the last one. */
export async function loadMore(): Promise<void> {
  if (more.peek()) return;
  more.value = true;
  try {
    const { data } = await listGroups(untracked(filters), PAGE, groups.peek().length);
    const known = new Set(groups.peek().map(({ id }) => id));
    groups.value = [...groups.peek(), ...data.errors.filter(({ id }) => !known.has(id))];
  } catch (reason) {
    toast(reason instanceof Fault ? reason.detail : String(reason), { icon: "warn" });
  }
  more.value = false;
}

/** Resolves issues one after the other and says what became of it. Answers those that were resolved. */
export async function resolveAll(ids: readonly number[]): Promise<number[]> {
  const done: number[] = [];
  let fault = "";
  for (const id of ids) {
    try {
      await resolveGroup(id);
      done.push(id);
    } catch (reason) {
      fault = reason instanceof Fault ? reason.detail : String(reason);
      break;
    }
  }
  const gone = new Set(done);
  batch(() => {
    const keep = untracked(filters).state === "all";
    groups.value = groups.peek().flatMap((group) => (!gone.has(group.id) ? [group] : keep ? [{ ...group, resolved: true }] : []));
    selected.value = new Set([...selected.peek()].filter((id) => !gone.has(id)));
    const { open, resolved, all } = totals.peek();
    totals.value = { open: open === null ? null : Math.max(0, open - done.length), resolved: resolved === null ? null : resolved + done.length, all };
  });
  if (done.length > 0) toast(`${plural(done.length, "issue")} resolved`);
  if (fault) toast(`Not resolved: ${fault}`, { icon: "warn" });
  return done;
}

/** What changes the question; the list is asked again when it does. */
export const question = computed(() => JSON.stringify([param("state"), param("project"), param("source"), param("session"), rangeText(range.value)]));

/** What of the URL belongs to the list, for links to an issue and back. */
export function listQuery(): string {
  return withQuery(place.value.query, { occurrence: null, stack: null });
}
