/** The lines on the page, oldest first: history and live tail are one list. */
import { batch, computed, signal, untracked } from "@preact/signals";
import { Fault } from "@kit/api";
import { bounds, parseRange, type Range } from "@kit/range";
import { searchPattern } from "@kit/search";
import { Source } from "@kit/source";
import { toast } from "@kit/toast";
import { param } from "@kit/url";
import { type Filters, getContext, getCounts, getStats, type Line, type LineList, listBeside, listContainers, listLines, tailUrl, timeOf } from "./api";
import { Tail } from "./tail";

/** At most so many lines are kept on the page; the oldest go first. */
const MOST = 10_000;
/** More pages than this since the newest line mean starting again. */
const MOST_PAGES = 4;

export const range = computed<Range>(() => parseRange(param("range"), new Date()) ?? { kind: "all" });
/** In the mode "highlight" all lines are shown and the hits are marked. */
export const highlight = computed(() => param("mode") === "highlight");
export const pattern = computed(() => searchPattern(param("q")));

export function filters(): Filters {
  const { since, until } = bounds(range.value, new Date());
  return { container: param("container"), level: param("level"), search: highlight.value ? "" : param("q"), since, until };
}

/** What changes the question; the list is asked anew when it does. */
export const question = computed(() => JSON.stringify([param("container"), param("level"), highlight.value ? "" : param("q"), param("range")]));

export const lines = signal<Line[]>([]);
/** How many match in all, as of the last question. New lines count on. */
export const total = signal<{ n: number; exact: boolean } | null>(null);
/** Whether the page stays at the newest line. */
export const following = signal(true);
/** Lines that came while it did not. */
export const unseen = signal(0);
/** True when there may be older lines than the first. */
export const olderLeft = signal(false);
const loadingOlder = signal(false);

export const source = new Source<LineList>((abort) => listLines(untracked(filters), abort));
export const containers = new Source((abort) => listContainers(abort));
export const stats = new Source((abort) => getStats(abort));
/** Lines over time, of all that match. */
export const counts = new Source((abort) => getCounts(untracked(filters), abort));

export const tail = new Tail({ url: (after) => tailUrl(untracked(filters), after), onLines: add, onGap: catchUp });

/** Asks anew and shows the newest lines. */
export async function reload(): Promise<void> {
  void counts.load();
  await source.load();
  const list = source.data.peek();
  if (!list || source.fault.peek()) return;
  const near = await linkedLines(list.logs);
  batch(() => {
    lines.value = (near ?? [...list.logs]).sort(byTime);
    total.value = { n: list.total ?? 0, exact: list.total_exact !== false };
    olderLeft.value = near !== null || list.next !== null;
    unseen.value = 0;
  });
}

/** The lines around the one that the URL names, when it is not among `found` and nothing else is asked for. */
async function linkedLines(found: readonly Line[]): Promise<Line[] | null> {
  const wanted = Number(param("line"));
  const { level, search, container } = untracked(filters);
  if (!wanted || level || search || found.some(({ id }) => id === wanted)) return null;
  try {
    const { data } = await getContext(wanted, container);
    return [...data.before, data.entry, ...data.after];
  } catch (reason) {
    // It is gone, or the next question tells what is the matter.
    if (reason instanceof Fault) return null;
    throw reason;
  }
}

/** Lines of the tail, or of a refresh: added where they belong, each once. */
function add(found: readonly Line[]): void {
  const fresh = mergeLines(lines.peek(), found);
  if (!fresh) return;
  const { merged, added } = fresh;
  const over = merged.length - MOST;
  batch(() => {
    lines.value = over > 0 ? merged.slice(over) : merged;
    if (over > 0) olderLeft.value = true;
    const count = total.peek();
    if (count) total.value = { ...count, n: count.n + added };
    if (!following.peek()) unseen.value += added;
  });
}

/** `now` with what of `found` is not in it, in order; null when nothing is new. */
export function mergeLines(now: readonly Line[], found: readonly Line[]): { merged: Line[]; added: number } | null {
  const known = new Set(now.map(({ id }) => id));
  const fresh = found.filter(({ id }) => !known.has(id) && known.add(id)).sort(byTime);
  const first = fresh[0];
  if (!first) return null;
  const merged = [...now, ...fresh];
  const last = now.at(-1);
  // Containers are read one after the other: a line may be older than the newest of another.
  if (last && byTime(last, first) > 0) merged.sort(byTime);
  return { merged, added: fresh.length };
}

/** Fetches what came since the newest line. */
export async function catchUp(): Promise<void> {
  const asked = question.peek();
  try {
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const newest = lines.peek().at(-1);
      if (!newest) break;
      const { data } = await listBeside(untracked(filters), "after", newest.id);
      if (asked !== question.peek()) return;
      add(data.logs);
      if (data.next === null) return;
    }
    await reload();
  } catch (reason) {
    // The page says that the tail is lost; the next question tries again.
    if (!(reason instanceof Fault)) throw reason;
  }
}

/** Loads the lines before the first one. */
export async function loadOlder(): Promise<void> {
  const first = lines.peek()[0];
  if (!first || !olderLeft.peek() || loadingOlder.peek()) return;
  if (lines.peek().length >= MOST) {
    olderLeft.value = false;
    toast(`${MOST.toLocaleString("en-GB")} lines are shown: narrow the range to see older ones`, { icon: "warn" });
    return;
  }
  loadingOlder.value = true;
  const asked = question.peek();
  try {
    const { data } = await listBeside(untracked(filters), "before", first.id);
    if (asked === question.peek()) {
      const known = new Set(lines.peek().map(({ id }) => id));
      const older = data.logs.filter(({ id }) => !known.has(id)).sort(byTime);
      batch(() => {
        lines.value = [...older, ...lines.peek()];
        olderLeft.value = data.next !== null;
      });
    }
  } catch (reason) {
    toast(reason instanceof Fault ? reason.detail : String(reason), { icon: "warn" });
  }
  loadingOlder.value = false;
}

export function byTime(left: Line, right: Line): number {
  return timeOf(left) - timeOf(right) || left.id - right.id;
}

/** The hits of the search among the lines shown, by id. */
export const hits = computed<number[]>(() => {
  const wanted = pattern.value;
  if (!wanted) return [];
  return lines.value.filter(({ message }) => message.search(wanted) >= 0).map(({ id }) => id);
});

/** Goes to the newest line and stays there. */
export function follow(): void {
  batch(() => {
    following.value = true;
    unseen.value = 0;
  });
}
