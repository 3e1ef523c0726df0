/** What people decide about issues: it happens at once, and can be taken back for ten seconds. */
import { batch, signal } from "@preact/signals";
import { Fault } from "@kit/api";
import { plural } from "@kit/format";
import { toast } from "@kit/toast";
import { type Change, changeGroups, getGroup, type GroupDetail, type GroupState, stateOf } from "./api";
import { groups, moved, reload } from "./model";

export type Decision = Exclude<Change, { action: "delete" }>;

/** Counts decisions, so that the page of an issue looks again. */
export const decided = signal(0);
/** Issues whose earlier state is asked for at most, before it is changed. */
const MOST_WAYS_BACK = 20;

/** What each decision leads to. */
export const STATES: Record<Decision["action"], GroupState> = { resolve: "resolved", reopen: "open", ignore: "ignored" };

/** Changes issues and says what became of it, with a way back. Answers those that were changed. */
export async function decide(ids: readonly number[], decision: Decision): Promise<readonly number[]> {
  const state = STATES[decision.action];
  try {
    const back = await waysBack(ids);
    const { matched } = await changeGroups(ids, decision);
    if (matched === 0) {
      toast("Nothing was changed: there is no such issue any more", { icon: "warn" });
      return [];
    }
    batch(() => {
      moved(ids, state);
      decided.value += 1;
    });
    toast(doneText(ids.length, decision), back ? { action: { label: "Undo", run: () => void undo(back) } } : {});
    return ids;
  } catch (reason) {
    toast(`Not ${state === "open" ? "reopened" : state}: ${faultText(reason)}`, { icon: "warn" });
    return [];
  }
}

/** Deletes issues for good. Answers whether that worked. */
export async function erase(ids: readonly number[]): Promise<boolean> {
  try {
    await changeGroups(ids, { action: "delete" });
  } catch (reason) {
    toast(`Not deleted: ${faultText(reason)}`, { icon: "warn" });
    return false;
  }
  moved(ids, null);
  toast(`${plural(ids.length, "issue")} deleted`);
  return true;
}

export function faultText(reason: unknown): string {
  return reason instanceof Fault ? reason.detail : String(reason);
}

/**
 * What has to be decided to have each issue as it is now. Null when it is not worth asking: then
 * no undo is offered, rather than one that puts back something else.
 */
async function waysBack(ids: readonly number[]): Promise<Map<number, Decision> | null> {
  const known = new Map(groups.peek().map((group) => [group.id, stateOf(group)]));
  const back = new Map<number, Decision>(ids.map((id) => [id, { action: "reopen" }]));
  const asked = ids.filter((id) => known.get(id) !== "open");
  if (asked.length > MOST_WAYS_BACK) return null;
  for (const { data } of await Promise.all(asked.map((id) => getGroup(id)))) back.set(data.id, wayBack(data));
  return back;
}

/** The decision that leads to the state an issue is in. */
export function wayBack(group: Pick<GroupDetail, "state" | "resolved" | "count" | "resolved_in_release" | "ignored_until" | "ignored_until_count">): Decision {
  const state = stateOf(group);
  if (state === "open") return { action: "reopen" };
  if (state === "resolved") return { action: "resolve", ...(group.resolved_in_release ? { in_release: group.resolved_in_release } : {}) };
  return {
    action: "ignore",
    ...(group.ignored_until ? { until: group.ignored_until } : {}),
    ...(group.ignored_until_count ? { count: Math.max(1, group.ignored_until_count - group.count) } : {}),
  };
}

async function undo(back: ReadonlyMap<number, Decision>): Promise<void> {
  const alike = new Map<string, number[]>();
  for (const [id, decision] of back) {
    const key = JSON.stringify(decision);
    alike.set(key, [...(alike.get(key) ?? []), id]);
  }
  try {
    for (const [key, ids] of alike) await changeGroups(ids, JSON.parse(key) as Decision);
    toast("Undone");
  } catch (reason) {
    toast(`Not undone: ${faultText(reason)}`, { icon: "warn" });
  }
  decided.value += 1;
  await reload();
}

/** `2 issues ignored until 100 more events`. */
export function doneText(n: number, decision: Decision): string {
  const issues = plural(n, "issue");
  switch (decision.action) {
    case "reopen":
      return `${issues} reopened`;
    case "resolve":
      return `${issues} resolved${decision.in_release ? ` in ${decision.in_release}` : ""}`;
    case "ignore":
      if (decision.count) return `${issues} ignored until ${plural(decision.count, "more event")}`;
      return `${issues} ignored${decision.for === "24h" ? " for a day" : ""}`;
  }
}
