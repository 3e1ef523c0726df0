/** Logs: what happened at that moment? Newest at the bottom, always. */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useCommands } from "@kit/commands";
import { download, narrow } from "@kit/dom";
import { count, plural, THIN } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { lazy } from "@kit/lazy";
import { INTERVALS, type Interval, Live, type LiveState, RefreshButton, useRefresh } from "@kit/live";
import { Actions, Filter, Kbd } from "@kit/menu";
import { rangeLabel, rangeText } from "@kit/range";
import { RangeMenu } from "@kit/range-menu";
import { useRows } from "@kit/rows";
import { Page, SearchField } from "@kit/shell";
import { Empty, FaultBanner, FaultState, Skeleton } from "@kit/states";
import { histogram, Strip } from "@kit/strip";
import { param, setParams } from "@kit/url";
import { type VirtualHandle, VirtualList } from "@kit/virtual";
import { timeOf } from "./api";
import { catchUp, containers, counts, follow, following, highlight, hits, lines, loadOlder, olderLeft, pattern, question, range, reload, source, stats, tail, total, unseen } from "./lines";
import { LEVELS, takes } from "./levels";
import { plain } from "./message";
import type { PickTimeProps } from "./pick";
import { LogRow } from "./row";
import { service } from "./service";

const CHOICES: readonly Interval[] = [{ text: "tail", label: "As they are written", every: 0 }, ...INTERVALS];
const USUAL = "tail";
const BUCKETS = 90;
/** The height of a line that is not wrapped, in pixels. */
const ROW = 24;

const PickTime = lazy<PickTimeProps>("PickTime");
const opened = signal<number | null>(null);

export function Logs() {
  const refresh = param("refresh") || USUAL;
  const endless = range.value.kind !== "between";
  useEffect(() => {
    opened.value = Number(param("line")) || null;
    const wanted = opened.peek();
    following.value = endless && wanted === null;
    void reload();
  }, [question.value]);
  useEffect(() => {
    void containers.load();
    void stats.load();
    const timer = setInterval(() => {
      if (document.hidden) return;
      void containers.load();
      void stats.load();
    }, 60_000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (refresh === USUAL && endless) tail.start();
    else tail.stop();
    return () => tail.stop();
  }, [refresh, endless, question.value]);
  // What the tail brings is counted in steps: a count for each line would be many.
  useEffect(() => {
    if (!endless || refresh === "off") return;
    const timer = setInterval(() => document.hidden || void counts.load(), 10_000);
    return () => clearInterval(timer);
  }, [endless, refresh]);
  useRefresh(() => void catchUp(), USUAL);
  useCommands(() =>
    (containers.data.value?.containers ?? []).map(({ name }) => ({
      group: "Containers",
      label: name,
      icon: "box",
      run: () => setParams({ container: name }),
    })),
  );
  return (
    <Page title="Lines" service={service()} class={`full${param("wrap") ? " wrap" : ""}`} head={<Head endless={endless} refresh={refresh} />} status={<Status />} hints={[[["j", "k"], "move"], [["Enter"], "open"], [["n"], "next hit"], [["e"], "next error"], [["l"], "live"]]}>
      <Tools />
      <FaultBanner source={source} onRetry={() => void reload()} />
      <LogStrip />
      <Body />
    </Page>
  );
}

function Head({ endless, refresh }: { endless: boolean; refresh: string }) {
  const fault = source.fault.value;
  return (
    <>
      <h1>Logs</h1>
      <SearchField wide label="Search lines" placeholder={'Words, "a phrase", prefix*'} value={param("q")} fault={fault?.kind === "refused" ? fault.detail : null} onChange={(q) => setParams({ q }, true)}>
        {pattern.value ? <Hits /> : null}
      </SearchField>
      {param("q") && (
        <div class="seg" role="group" aria-label="Search mode">
          <button type="button" aria-pressed={!highlight.value} title="Only lines that match" onClick={() => setParams({ mode: null })}>
            Filter
          </button>
          <button type="button" aria-pressed={highlight.value} title="All lines, hits marked" onClick={() => setParams({ mode: "highlight" })}>
            Highlight
          </button>
        </div>
      )}
      <div class="head-end">
        <RangeMenu range={range.value} all onChange={(next) => setParams({ range: next.kind === "all" ? null : rangeText(next), line: null })} />
        <Live fault={fault} retryAt={source.retryAt.value} choices={CHOICES} usual={USUAL} state={endless ? tailState(refresh) : { dot: "off", label: "Past" }} />
      </div>
    </>
  );
}

function tailState(refresh: string): LiveState | undefined {
  if (refresh !== USUAL) return undefined;
  const state = tail.state.value;
  if (state === "lost") return { dot: "paused", label: "Lost, trying", lost: true };
  if (!following.value) return { dot: "paused", label: "Paused" };
  return state === "open" ? { dot: "flowing", label: "Live" } : { dot: "off", label: "Live" };
}

/** How many lines on the page have what was searched, and the way from one to the next. */
const walk = signal<(step: number) => void>(() => {});
function Hits() {
  const n = hits.value.length;
  return (
    <>
      <span class="hits t3">{plural(n, "hit")}</span>
      <button class="btn quiet mini square" type="button" aria-label="Previous hit" title="Shift N" disabled={n === 0} onClick={() => walk.value(-1)}>
        <Icon name="up" small />
      </button>
      <button class="btn quiet mini square" type="button" aria-label="Next hit" title="N" disabled={n === 0} onClick={() => walk.value(1)}>
        <Icon name="down" small />
      </button>
    </>
  );
}

function Tools() {
  const wrap = Boolean(param("wrap"));
  const toggleWrap = () => setParams({ wrap: wrap ? null : "1" }, true);
  useKeys("Page", { w: { label: "wrap long lines", run: toggleWrap } });
  const names = containers.data.value?.containers ?? [];
  return (
    <div class="tools">
      <div class="filters">
        <Filter
          label="Container"
          value={param("container")}
          choices={names.map(({ name, log_count: n }) => ({ value: name, label: name, count: count(n), mono: true }))}
          none="No container has written a line yet."
          onChange={(container) => setParams({ container })}
        />
        <Filter
          label="Level"
          value={param("level")}
          choices={[
            ...LEVELS.map(({ id, name }) => ({ value: id as string, label: name })),
            ...LEVELS.slice(0, -1).map(({ id, name }) => ({ value: `>=${id}`, label: `${name} and above` })),
          ]}
          onChange={(level) => setParams({ level })}
        />
      </div>
      <div class="tools-end">
        <button class="btn quiet square" type="button" aria-pressed={wrap} aria-label="Wrap long lines" title="Wrap  W" onClick={toggleWrap}>
          <Icon name="wrap" />
        </button>
        <DownloadMenu />
        <RefreshButton busy={source.busy.value} onClick={() => void reload()} />
      </div>
    </div>
  );
}

function DownloadMenu() {
  const n = lines.value.length;
  if (n === 0) return null;
  const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  return (
    <Actions
      label="Download"
      button={(props) => (
        <button class="btn quiet square" type="button" aria-label="Download these lines" title="Download" {...props}>
          <Icon name="download" />
        </button>
      )}
      items={[
        {
          label: `${plural(n, "line")} as text`,
          icon: "logs",
          run: () => download(`logs-${stamp()}.txt`, lines.peek().map((line) => `${line.time ?? line.timestamp} ${line.level} ${line.container} ${plain(line.message)}`).join("\n")),
        },
        {
          label: `${plural(n, "line")} as JSON lines`,
          icon: "code",
          run: () => download(`logs-${stamp()}.ndjson`, lines.peek().map((line) => JSON.stringify(line)).join("\n"), "application/x-ndjson"),
        },
      ]}
    />
  );
}

/** What matches over time, and its levels as filters; until that is known, the lines on the page. */
function LogStrip() {
  const shown = lines.value;
  const first = shown[0];
  const last = shown.at(-1);
  if (!first || !last) return null;
  const kept = counts.fault.value ? null : counts.data.value;
  const whole = kept?.since && kept.until ? kept : null;
  const from = whole ? Date.parse(whole.since!) : timeOf(first);
  const to = whole ? Date.parse(whole.until!) : Math.max(timeOf(last), from + 1000);
  const n = whole ? whole.buckets.length : BUCKETS;
  /** When a bar begins. */
  const start = (at: number) => (whole && at < n ? Date.parse(whole.buckets[at]!.start) : Math.round(from + (at / n) * (to - from)));
  const layers = LEVELS.map(({ id, class: name }): Counted => {
    const values = whole
      ? whole.buckets.map(({ by_level: levels }) => levels[id] ?? 0)
      : histogram(shown.filter(({ level }) => level === id).map(timeOf), from, to, BUCKETS);
    return { class: name, values, n: values.reduce((sum, value) => sum + value, 0), id };
  });
  const [debug, info, warning, error, critical] = layers as [Counted, Counted, Counted, Counted, Counted];
  const all = total.value;
  const more = all && all.n > shown.length;
  return (
    <section class="strip" aria-label="Lines over time">
      <div class="strip-head">
        <p>
          <b>{count(shown.length)}</b> {more ? `of ${count(all.n)}${all.exact ? "" : " or more"} lines` : shown.length === 1 ? "line" : "lines"}{" "}
          <span class="t3">{range.value.kind === "all" ? (more ? "shown, the newest" : "") : rangeLabel(range.value, new Date()).toLowerCase()}</span>
        </p>
        <Legend layers={[critical, error, warning, info, debug]} />
      </div>
      <Strip
        up={[info, debug]}
        down={[critical, error, warning]}
        from={from / 1000}
        to={to / 1000}
        label={`${plural(whole ? whole.total : shown.length, "line")}${whole && !whole.exact ? " or more" : ""}: ${layers.map(({ n, id }) => `${n} ${id.toLowerCase()}`).join(", ")}`}
      >
        <PickTime n={n} start={start} />
      </Strip>
    </section>
  );
}

interface Counted {
  class: string;
  values: number[];
  n: number;
  id: (typeof LEVELS)[number]["id"];
}

function Legend({ layers }: { layers: Counted[] }) {
  const chosen = param("level");
  return (
    <span class="legend as-filter" role="group" aria-label="Levels">
      {layers.map(({ id, class: name, n }) => (
        <button
          key={id}
          type="button"
          class={takes(chosen, id) ? undefined : "out"}
          aria-pressed={chosen === id || chosen === `>=${id}`}
          title="Only this level; Alt-click for it and above"
          onClick={(event) => {
            const next = event.altKey ? `>=${id}` : id;
            setParams({ level: chosen === next ? null : next });
          }}
        >
          <i class={`key ${name}`} />
          {LEVELS.find((level) => level.id === id)!.name} <span class="n">{count(n)}</span>
        </button>
      ))}
    </span>
  );
}

function Body() {
  if (!source.data.value && lines.value.length === 0) {
    if (source.fault.value) return <FaultState source={source} onRetry={() => void reload()} />;
    return source.slow.value ? <Skeleton rows={10} /> : null;
  }
  return lines.value.length === 0 ? <Nothing /> : <Lines />;
}

function Nothing() {
  const filtered = Boolean(param("container") || param("level") || (param("q") && !highlight.value));
  if (!filtered && range.value.kind === "all") {
    return (
      <Empty icon="logs" title="No lines yet">
        The service reads what Docker's containers write to LOG_SOURCES. The page fills by itself.
      </Empty>
    );
  }
  return (
    <Empty
      icon="logs"
      title="No lines"
      actions={
        <>
          {range.value.kind !== "all" && (
            <button class="btn" type="button" onClick={() => setParams({ range: null, line: null })}>
              All time
            </button>
          )}
          {filtered && (
            <button class="btn quiet" type="button" onClick={() => setParams({ container: null, level: null, q: null })}>
              Clear filters
            </button>
          )}
        </>
      }
    >
      {filtered ? "Nothing matches these filters" : "Nothing was written"}
      {range.value.kind === "all" ? "." : ` in ${rangeLabel(range.value, new Date()).replace(/^Last/, "the last")}.`}
    </Empty>
  );
}

function Lines() {
  const scroll = useRef<HTMLDivElement>(null);
  const handle = useRef<VirtualHandle | null>(null);
  const ids = lines.value.map(({ id }) => id);
  const rows = useRows(ids);
  const arrived = useSignal<number | null>(null);
  const endSeen = useSignal(true);
  const close = () => {
    opened.value = null;
    // Who was at the end before is there again.
    if (endSeen.peek() && range.peek().kind !== "between") follow();
  };
  const goTo = (id: number | undefined) => {
    if (id === undefined) return;
    following.value = false;
    handle.current?.show(id, "center");
    requestAnimationFrame(() => rows.put(id, true));
  };
  /** The next id of `wanted` before or after the cursor, or after the end of the list. */
  const seek = (wanted: readonly number[], step: number) => {
    const order = new Map(ids.map((id, at) => [id, at]));
    const at = order.get(rows.cursor.peek() ?? -1) ?? (step < 0 ? ids.length : -1);
    const places = wanted.map((id) => order.get(id)!);
    const found = step > 0 ? places.find((place) => place > at) : places.findLast((place) => place < at);
    goTo(found === undefined ? (step > 0 ? wanted[0] : wanted.at(-1)) : ids[found]);
  };
  const bad = () => lines.peek().filter(({ level }) => level === "ERROR" || level === "CRITICAL").map(({ id }) => id);
  walk.value = (step) => seek(hits.peek(), step);
  const toggle = (id: number) => {
    if (opened.peek() === id) return close();
    opened.value = id;
    following.value = false;
  };
  useKeys("List", {
    n: { label: "next hit", run: () => seek(hits.peek(), 1) },
    "Shift+N": { label: "previous hit", run: () => seek(hits.peek(), -1) },
    e: { label: "next error", run: () => seek(bad(), 1) },
    "Shift+E": { label: "previous error", run: () => seek(bad(), -1) },
    End: { label: "newest, and follow", run: follow },
    Home: { label: "oldest shown", run: () => goTo(ids[0]) },
    Escape: { label: "close", run: () => (opened.peek() === null ? false : close()) },
  });
  // A line that the URL names is brought into view once.
  useEffect(() => {
    const wanted = Number(param("line"));
    if (!wanted || arrived.peek() === wanted || !ids.includes(wanted)) return;
    arrived.value = wanted;
    goTo(wanted);
  });
  return (
    <>
      <div class={`log-scroll${source.slow.value ? " stale" : ""}`} ref={scroll} role="log" aria-live="off" aria-label="Log lines, newest last" tabIndex={-1}>
        <div class="log-list" ref={(element) => void (rows.list.current = element)}>
          <VirtualList
            ids={ids}
            guess={narrow.value ? 54 : ROW}
            layout={`${param("wrap")}${narrow.value}`}
            follow={following.value}
            label="Lines"
            handle={handle}
            scroller={() => (narrow.peek() ? null : scroll.current)}
            onScroll={({ atEnd, nearStart, byHand }) => {
              endSeen.value = atEnd;
              if (atEnd && range.peek().kind !== "between" && opened.peek() === null) {
                if (!following.peek() && byHand) follow();
              } else if (byHand && !atEnd) following.value = false;
              if (nearStart && olderLeft.peek()) void loadOlder();
            }}
            row={(id, at) => {
              const line = lines.value[at]!;
              return (
                <LogRow
                  key={id}
                  line={line}
                  open={opened.value === id}
                  at={rows.cursor.value === id}
                  tabIndex={rows.tabIndex(id)}
                  pattern={pattern.value}
                  onToggle={() => toggle(id)}
                  onFocus={() => rows.put(id)}
                />
              );
            }}
          />
        </div>
      </div>
      {!following.value && range.value.kind !== "between" && (!endSeen.value || unseen.value > 0) && (
        <button
          class="new-pill"
          type="button"
          onClick={() => {
            opened.value = null;
            follow();
          }}
        >
          <Icon name="down" small />
          {unseen.value > 0 ? plural(unseen.value, "new line") : "Newest"}
          <Kbd>End</Kbd>
        </button>
      )}
    </>
  );
}

function Status() {
  const indexed = stats.data.value?.total_logs;
  return (
    <>
      {tail.missed.value > 0 && <span class="amber">{plural(tail.missed.value, "line")} came too fast to be shown</span>}
      {indexed !== undefined && <span>{count(indexed)} lines indexed</span>}
      {source.took.value !== null && (
        <span>
          {Math.max(1, Math.round(source.took.value))}
          {THIN}ms
        </span>
      )}
    </>
  );
}
