/** One issue: which line, since when, for whom? */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { copy, now } from "@kit/dom";
import { clockSeconds, count, dayTime, fullTime, plural, THIN } from "@kit/format";
import { Icon } from "@kit/icons";
import { Json } from "@kit/json";
import { useKeys } from "@kit/keys";
import { useRefresh } from "@kit/live";
import { Actions } from "@kit/menu";
import { stepTo } from "@kit/rows";
import { session } from "@kit/session";
import { Page } from "@kit/shell";
import { Source } from "@kit/source";
import { Empty, FaultBanner, FaultState, Skeleton } from "@kit/states";
import { Ago, Hostile } from "@kit/text";
import { go, href, param, root, setParams, withQuery } from "@kit/url";
import { getGroup, type GroupDetail, type Json as JsonValue, type Occurrence } from "./api";
import { groups, listed, listQuery, reload, resolveAll } from "./model";
import { service } from "./service";
import { Stack } from "./stack";
import { framesText, readSymbolication, symbolicate } from "./symbolication";

/** A longer message is folded, in characters. */
const LONG_MESSAGE = 2000;

export function IssueDetail({ id }: { id: number }) {
  const source = useMemo(() => new Source<GroupDetail>((abort) => getGroup(id, abort)), [id]);
  const group = source.data.value;
  useEffect(() => {
    void source.load();
    if (groups.peek().length === 0) void reload();
    return () => source.stop();
  }, [source]);
  useRefresh(() => void source.load());
  useEffect(() => () => void (opened.value = null), [id]);
  useEffect(() => {
    if (group && opened.peek() === null) opened.value = group.occurrences[0]?.id ?? null;
  }, [group]);
  const ids = groups.value.map((other) => other.id);
  const step = (by: number) => {
    const next = ids.includes(id) ? stepTo(ids, id, by) : null;
    if (next === null || next === id) return false;
    go(`errors/${next}`, listQuery());
    return true;
  };
  const resolve = async () => {
    if (!source.data.peek() || source.data.peek()?.resolved) return;
    const at = ids.indexOf(id);
    const next = ids[at + 1] ?? ids[at - 1];
    const done = await resolveAll([id]);
    if (done.length === 0) return;
    // Who works through a list goes on with it; who came for this issue sees what became of it.
    if (listed.peek() && at >= 0 && next !== undefined) go(`errors/${next}`, listQuery());
    else void source.load();
  };
  useKeys("Issue", {
    j: { label: "next issue", run: () => step(1) },
    k: { label: "previous issue", run: () => step(-1) },
    e: { label: "resolve", run: () => void resolve() },
    c: { label: "copy as Markdown", run: () => (group ? void copy(markdown(group, occurrenceOf(group)), "Issue") : false) },
    Escape: { label: "back to the list", run: () => go("", listQuery()) },
  });
  return (
    <Page
      title={group ? `${group.exception_type}: ${group.message.slice(0, 80)}` : `Issue ${id}`}
      service={service()}
      class="detail"
      head={<Head id={id} group={group} ids={ids} onStep={step} onResolve={() => void resolve()} />}
      status={source.took.value !== null && <span>{Math.max(1, Math.round(source.took.value))}{THIN}ms</span>}
      hints={[
        [["j", "k"], "next issue"],
        [["[", "]"], "occurrence"],
        [["e"], "resolve"],
        [["c"], "copy as Markdown"],
        [["Escape"], "back"],
      ]}
    >
      <FaultBanner source={source} onRetry={() => void source.load()} />
      {group ? <Body group={group} /> : <Absent source={source} />}
    </Page>
  );
}

function Absent({ source }: { source: Source<GroupDetail> }) {
  if (source.fault.value?.kind === "missing") {
    return (
      <Empty
        icon="errors"
        title="This issue does not exist or was deleted"
        actions={
          <a class="btn" href={href("", listQuery())} data-go>
            All issues
          </a>
        }
      />
    );
  }
  if (source.fault.value) return <FaultState source={source} onRetry={() => void source.load()} />;
  return source.slow.value ? <Skeleton /> : null;
}

interface HeadProps {
  id: number;
  group: GroupDetail | null;
  ids: number[];
  onStep: (by: number) => void;
  onResolve: () => void;
}

function Head({ id, group, ids, onStep, onResolve }: HeadProps) {
  const at = ids.indexOf(id);
  return (
    <>
      <a class="back" href={href("", listQuery())} data-go>
        <Icon name="left" small />
        Issues
      </a>
      <span class="t3 issue-no">#{id}</span>
      {at >= 0 && ids.length > 1 && (
        <span class="stepper">
          <button class="btn quiet mini square" type="button" aria-label="Previous issue" title="K" disabled={at === 0} onClick={() => onStep(-1)}>
            <Icon name="up" small />
          </button>
          <button class="btn quiet mini square" type="button" aria-label="Next issue" title="J" disabled={at === ids.length - 1} onClick={() => onStep(1)}>
            <Icon name="down" small />
          </button>
          <span class="t3">
            {at + 1} of {ids.length}
          </span>
        </span>
      )}
      {group && (
        <div class="head-end">
          <CopyMenu group={group} />
          {group.resolved ? (
            <span class="badge green">Resolved</span>
          ) : (
            <button class="btn primary" type="button" title="Resolve  E" onClick={onResolve}>
              <Icon name="check" small />
              Resolve
            </button>
          )}
        </div>
      )}
    </>
  );
}

function CopyMenu({ group }: { group: GroupDetail }) {
  const link = new URL(`errors/${group.id}`, root).href;
  return (
    <Actions
      label="Copy"
      button={(props) => (
        <button class="btn quiet" type="button" {...props}>
          <Icon name="copy" small />
          <span>Copy</span>
          <Icon name="down" small class="caret" />
        </button>
      )}
      items={[
        { label: "As Markdown", icon: "copy", kbd: "C", run: () => void copy(markdown(group, occurrenceOf(group)), "Issue") },
        { label: "Traceback", icon: "logs", run: () => void copy(occurrenceOf(group)?.traceback ?? group.traceback, "Traceback") },
        { label: "Link", icon: "link", run: () => void copy(link, "Link") },
        { label: "JSON", icon: "code", run: () => void copy(JSON.stringify(group, null, 2), "JSON") },
      ]}
    />
  );
}

/** The occurrence that was the newest when the issue was opened: a newer one does not push it away. */
const opened = signal<number | null>(null);

/** The occurrence the URL names, else the one the page was opened with, else the newest. */
function occurrenceOf(group: GroupDetail): Occurrence | undefined {
  const wanted = Number(param("occurrence")) || opened.value;
  return group.occurrences.find(({ id }) => id === wanted) ?? group.occurrences[0];
}

function isBrowser(occurrence: Occurrence | undefined): boolean {
  return occurrence?.request_method === "BROWSER";
}

/** A member of `extra` as text, or null when it is none. */
function text(extra: JsonValue | undefined, key: string): string | null {
  if (typeof extra !== "object" || extra === null || Array.isArray(extra)) return null;
  const value = extra[key];
  return typeof value === "string" && value !== "" ? value : null;
}

function Body({ group }: { group: GroupDetail }) {
  const occurrence = occurrenceOf(group);
  const symbolication = readSymbolication(occurrence?.extra);
  return (
    <>
      <div class="detail-title">
        <p class="detail-type">
          <span class="mono">
            <Hostile text={group.exception_type} />
          </span>
          {group.resolved && <span class="badge green">Resolved</span>}
          <span class="badge line">{isBrowser(occurrence) ? "Browser" : "Server"}</span>
          <a class="badge line" href={href("", withQuery("", { project: group.project }))} data-go title="Issues of this project">
            {group.project || "(no project)"}
          </a>
        </p>
        <Message text={group.message} />
      </div>
      <div class="detail-grid">
        <div class="detail-main">
          {occurrence && <OccurrenceBar group={group} occurrence={occurrence} />}
          <Stack traceback={occurrence?.traceback || group.traceback} symbolication={symbolication} />
          {occurrence && <RequestAndContext occurrence={occurrence} />}
        </div>
        <aside class="detail-side" aria-label="About this issue">
          <Facts group={group} />
          <Around occurrence={occurrence} group={group} />
          <History group={group} />
        </aside>
      </div>
    </>
  );
}

function Message({ text: message }: { text: string }) {
  const all = useSignal(false);
  const long = message.length > LONG_MESSAGE;
  return (
    <>
      <h1 class={message.includes("\n") ? "lines" : undefined}>
        <Hostile text={(long && !all.value ? message.slice(0, LONG_MESSAGE) : message) || "(no message)"} />
        {long && !all.value && "…"}
      </h1>
      {long && (
        <button class="btn mini" type="button" aria-expanded={all.value} onClick={() => (all.value = !all.value)}>
          {all.value ? "Show less" : `Show all ${count(message.length)} characters`}
        </button>
      )}
    </>
  );
}

function OccurrenceBar({ group, occurrence }: { group: GroupDetail; occurrence: Occurrence }) {
  const at = group.occurrences.indexOf(occurrence);
  const older = group.occurrences[at + 1];
  const newer = group.occurrences[at - 1];
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
  const name = n === 1 ? "The only one kept" : at === 0 ? `Newest of ${n} kept` : `${at + 1} of ${n} kept`;
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
        <b>{name}</b> <span class="t3">·</span> <span title={fullTime(time)}>{clockSeconds(time)}</span>, <Ago time={time} suffix=" ago" />
      </p>
      <OccurrenceTags occurrence={occurrence} />
    </section>
  );
}

function OccurrenceTags({ occurrence }: { occurrence: Occurrence }) {
  const sessionId = text(occurrence.extra, "session_id");
  const facts: [string, string | null][] = [
    ["user", occurrence.user_id],
    ["method", isBrowser(occurrence) ? null : occurrence.request_method],
    ["release", text(occurrence.extra, "release")],
    ["environment", text(occurrence.extra, "environment")],
  ];
  const known = facts.filter((fact): fact is [string, string] => Boolean(fact[1]));
  if (known.length === 0 && !sessionId) return null;
  return (
    <p class="occ-facts">
      {known.map(([key, value]) => (
        <span class="tag" key={key} title={value}>
          <span>{key}</span>
          <span>
            <Hostile text={value} />
          </span>
        </span>
      ))}
      {sessionId && (
        <a class="tag" href={href("", withQuery("", { session: sessionId, state: "all" }))} data-go title="All issues of this session">
          <span>session</span>
          <span>
            <Hostile text={sessionId} />
          </span>
        </a>
      )}
    </p>
  );
}

/** `extra` without what the stack already shows. */
function contextOf(extra: JsonValue): JsonValue {
  if (!readSymbolication(extra)) return extra;
  const { symbolication: _, ...rest } = extra as { [key: string]: JsonValue };
  return rest;
}

function RequestAndContext({ occurrence }: { occurrence: Occurrence }) {
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

function Facts({ group }: { group: GroupDetail }) {
  return (
    <dl class="facts">
      <div>
        <dt>Events</dt>
        <dd>
          <b>{count(group.count)}</b>
        </dd>
      </div>
      <div>
        <dt>First seen</dt>
        <dd>
          <Ago time={new Date(group.first_seen)} suffix=" ago" />
        </dd>
      </div>
      <div>
        <dt>Last seen</dt>
        <dd>
          <Ago time={new Date(group.last_seen)} suffix=" ago" />
        </dd>
      </div>
      <div>
        <dt>Fingerprint</dt>
        <dd>
          <button class="inline mono cut" type="button" title={`Copy ${group.fingerprint}`} onClick={() => void copy(group.fingerprint, "Fingerprint")}>
            {group.fingerprint.slice(0, 12)}…
          </button>
        </dd>
      </div>
    </dl>
  );
}

/** Ways on: the logs of the minute, the session, the metrics, as far as there is somewhere to go. */
function Around({ group, occurrence }: { group: GroupDetail; occurrence: Occurrence | undefined }) {
  const state = session.value;
  const siblings = state.state === "in" ? state.info.siblings : null;
  const time = new Date(occurrence?.timestamp ?? group.last_seen);
  const sessionId = text(occurrence?.extra, "session_id");
  const near = (seconds: number) => new Date(time.getTime() + seconds * 1000).toISOString();
  const logs = siblings?.logs && `${siblings.logs.replace(/\/?$/, "/")}?range=${near(-60)}..${near(60)}`;
  const metrics = siblings?.metrics && `${siblings.metrics.replace(/\/?$/, "/")}?project=${encodeURIComponent(group.project)}`;
  useKeys("Issue", logs ? { o: { label: "logs around it", run: () => location.assign(logs) } } : {});
  if (!logs && !metrics && !sessionId) return null;
  return (
    <section class="around" aria-labelledby="around">
      <h2 id="around">Around {clockSeconds(time)}</h2>
      {logs && (
        <a href={logs}>
          <Icon name="logs" />
          Logs of these two minutes
        </a>
      )}
      {sessionId && (
        <a href={href("", withQuery("", { session: sessionId, state: "all" }))} data-go>
          <Icon name="user" />
          Issues of this session
        </a>
      )}
      {metrics && (
        <a href={metrics}>
          <Icon name="metrics" />
          Metrics of {group.project}
        </a>
      )}
    </section>
  );
}

function History({ group }: { group: GroupDetail }) {
  const lines: [string, string][] = [
    [group.count === 1 ? "The only event" : "Newest event", group.last_seen],
    ...(group.count === 1 ? [] : [["First event", group.first_seen] as [string, string]]),
    ...(group.resolved_at ? [["Resolved", group.resolved_at] as [string, string]] : []),
  ];
  lines.sort((left, right) => right[1].localeCompare(left[1]));
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      <ol class="activity">
        {lines.map(([what, when]) => (
          <li key={what}>
            <span>{what}</span>
            <time class="t3" dateTime={when} title={fullTime(new Date(when))}>
              {dayTime(new Date(when), now.value)}
            </time>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** An issue for a ticket or a chat. */
function markdown(group: GroupDetail, occurrence: Occurrence | undefined): string {
  const reported = occurrence?.traceback || group.traceback;
  const known = readSymbolication(occurrence?.extra)?.frames ?? [];
  const traceback = (known.length > 0 ? framesText(symbolicate(reported, known)) : reported).trimEnd();
  const fence = "`".repeat(Math.max(3, ...[...traceback.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return [
    `### ${group.exception_type}: ${group.message.split("\n", 1)[0]}`,
    "",
    `${group.project}, ${plural(group.count, "event")}, first ${group.first_seen}, last ${group.last_seen}`,
    ...(occurrence?.request_url ? [`${occurrence.request_method ?? ""} ${occurrence.request_url}`.trim()] : []),
    new URL(`errors/${group.id}`, root).href,
    ...(traceback ? ["", fence, traceback, fence] : []),
    "",
  ].join("\n");
}
