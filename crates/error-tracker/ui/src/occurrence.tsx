/** One report of an issue: which of those kept, what it says about itself, its request and context. */
import { signal } from "@preact/signals";
import { copy, now } from "@kit/dom";
import { clockSeconds, fullTime, since } from "@kit/format";
import { Icon } from "@kit/icons";
import { Json } from "@kit/json";
import { useKeys } from "@kit/keys";
import { Ago, Hostile } from "@kit/text";
import { href, param, setParams, withQuery } from "@kit/url";
import type { Fact, GroupDetail, Json as JsonValue, Occurrence } from "./api";
import { readSymbolication } from "./symbolication";

/** A longer message is folded, in characters. */
export const LONG_MESSAGE = 2000;

/** The occurrence that was the newest when the issue was opened: a newer one does not push it away. */
export const opened = signal<number | null>(null);

/** What can be looked at: the newest, and behind them the very first when it is not one of them. */
export function keptOf({ occurrences, first_occurrence: first }: Pick<GroupDetail, "occurrences" | "first_occurrence">): Occurrence[] {
  return first && !occurrences.some(({ id }) => id === first.id) ? [...occurrences, first] : occurrences;
}

/** The occurrence the URL names, else the one the page was opened with, else the newest. */
export function occurrenceOf(group: GroupDetail): Occurrence | undefined {
  const wanted = Number(param("occurrence")) || opened.value;
  return keptOf(group).find(({ id }) => id === wanted) ?? group.occurrences[0];
}

export function isBrowser(occurrence: Occurrence | undefined): boolean {
  return occurrence?.request_method === "BROWSER";
}

/** A member of `extra` as text, or null when it is none. */
export function text(extra: JsonValue | undefined, key: string): string | null {
  if (typeof extra !== "object" || extra === null || Array.isArray(extra)) return null;
  const value = extra[key];
  return typeof value === "string" && value !== "" ? value : null;
}

/** The release a report named, by itself or, as the browser's SDK once did, in `extra`. */
export function releaseOf(occurrence: Occurrence | null | undefined): string | null {
  return occurrence?.release ?? text(occurrence?.extra, "release");
}

export function OccurrenceBar({ group, occurrence }: { group: GroupDetail; occurrence: Occurrence }) {
  const kept = keptOf(group);
  const at = kept.indexOf(occurrence);
  const older = kept[at + 1];
  const newer = kept[at - 1];
  const first = kept[group.occurrences.length];
  const show = (other: Occurrence | undefined) => {
    if (!other) return false;
    const newest = other === group.occurrences[0];
    if (newest) opened.value = other.id;
    setParams({ occurrence: newest ? null : String(other.id) }, true);
    return true;
  };
  useKeys("Issue", {
    "[": { label: "older occurrence", run: () => show(older) },
    "]": { label: "newer occurrence", run: () => show(newer) },
  });
  const time = new Date(occurrence.timestamp);
  const n = group.occurrences.length;
  const name = occurrence === first ? "The first of all" : n === 1 ? "The only one kept" : at === 0 ? `Newest of ${n} kept` : `${at + 1} of ${n} kept`;
  return (
    <section class="occ" aria-label="Occurrence">
      <div class="occ-nav">
        <button class="btn mini square" type="button" aria-label="Older occurrence" title="[" disabled={!older} onClick={() => show(older)}>
          <Icon name="left" small />
        </button>
        <button class="btn mini square" type="button" aria-label="Newer occurrence" title="]" disabled={!newer} onClick={() => show(newer)}>
          <Icon name="right" small />
        </button>
      </div>
      <p>
        <b>{name}</b> <span class="t3">·</span>{" "}
        {since(time, now.value).includes(":") ? null : (
          <>
            <span title={fullTime(time)}>{clockSeconds(time)}</span>,{" "}
          </>
        )}
        <Ago time={time} suffix=" ago" />
      </p>
      {first && occurrence !== first && (
        <button class="btn quiet mini end" type="button" onClick={() => show(first)}>
          The first of all
        </button>
      )}
      <OccurrenceTags occurrence={occurrence} />
      {occurrence.message !== undefined && occurrence.message !== group.message && (
        <p class="occ-message">
          <Hostile text={occurrence.message.slice(0, LONG_MESSAGE)} />
        </p>
      )}
    </section>
  );
}

/** What a report says about itself: each value leads to the issues that share it. */
function OccurrenceTags({ occurrence }: { occurrence: Occurrence }) {
  const { tags, level } = occurrence;
  const facts: [string, unknown, Fact?][] = [
    ["user", occurrence.user_id, "user"],
    ["level", level === "error" ? null : level, "level"],
    ["release", releaseOf(occurrence), "release"],
    ["environment", occurrence.environment, "environment"],
    ["server", occurrence.server_name, "server_name"],
    ["method", isBrowser(occurrence) ? null : occurrence.request_method],
    ...Object.entries(typeof tags === "object" && tags !== null ? tags : {}).map(([key, value]): [string, unknown, Fact] => [key, value, "tag"]),
    ["session", text(occurrence.extra, "session_id"), "session"],
  ];
  return (
    <p class="occ-facts">
      {facts.map(([key, given, fact], at) => {
        if (given === null || given === undefined || given === "") return null;
        const value = typeof given === "string" ? given : JSON.stringify(given);
        const inside = [key, value].map((part) => (
          <span key={part}>
            <Hostile text={part} />
          </span>
        ));
        if (!fact) return <span class="tag" key={at} children={inside} />;
        const filter = { [fact]: fact === "tag" ? `${key}:${value}` : value, state: "all" };
        return <a class="tag" key={at} href={href("", withQuery("", filter))} data-go title={`All issues of this ${key}: ${value}`.slice(0, 300)} children={inside} />;
      })}
    </p>
  );
}

/** `extra` without what the stack already shows. */
function contextOf(extra: JsonValue): JsonValue {
  if (!readSymbolication(extra)) return extra;
  const { symbolication: _, ...rest } = extra as { [key: string]: JsonValue };
  return rest;
}

export function RequestAndContext({ occurrence }: { occurrence: Occurrence }) {
  const browser = isBrowser(occurrence);
  const headers = occurrence.request_headers;
  const rows: [string, string][] = [];
  const add = (name: string, value: string | null | undefined) => value && rows.push([name, value]);
  if (!browser) add("Method", occurrence.request_method);
  add("URL", occurrence.request_url ?? text(occurrence.extra, "page_url"));
  add("User", occurrence.user_id);
  if (browser) add("Agent", text(occurrence.extra, "user_agent"));
  const headerRows = typeof headers === "object" && headers !== null && !Array.isArray(headers) ? Object.entries(headers) : [];
  for (const [name, value] of headerRows) rows.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
  const extra = contextOf(occurrence.extra);
  const hasExtra = extra !== null && !(typeof extra === "object" && Object.keys(extra).length === 0);
  if (rows.length === 0 && !hasExtra) return null;
  return (
    <div class="two">
      {rows.length > 0 && (
        <section aria-labelledby="request">
          <div class="sec-head">
            <h2 id="request">{browser ? "Page" : "Request"}</h2>
            <button class="btn quiet mini end" type="button" onClick={() => void copy(rows.map((row) => row.join(": ")).join("\n"), browser ? "Page" : "Request")}>
              <Icon name="copy" small />
              Copy
            </button>
          </div>
          <dl class="kv">
            {rows.map(([name, value]) => (
              <div key={name}>
                <dt class="cut" title={name}>
                  {name}
                </dt>
                <dd class="mono">
                  <Hostile text={value} />
                </dd>
              </div>
            ))}
          </dl>
        </section>
      )}
      {hasExtra && (
        <section aria-labelledby="context">
          <div class="sec-head">
            <h2 id="context">Context</h2>
            <button class="btn quiet mini end" type="button" onClick={() => void copy(JSON.stringify(extra, null, 2), "Context")}>
              <Icon name="copy" small />
              Copy
            </button>
          </div>
          <Json value={extra} label="Context as JSON" />
        </section>
      )}
    </div>
  );
}

