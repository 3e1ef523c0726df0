/** One issue: which line, since when, for whom? */
import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { copy, now } from "@kit/dom";
import { count, THIN } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { useRefresh } from "@kit/live";
import { Actions, type ActionItem } from "@kit/menu";
import { stepTo } from "@kit/rows";
import { Page } from "@kit/shell";
import { Source } from "@kit/source";
import { Empty, FaultBanner, FaultState, Skeleton } from "@kit/states";
import { Hostile } from "@kit/text";
import { go, href, root, withQuery } from "@kit/url";
import { getGroup, type GroupDetail, stateOf } from "./api";
import { Aside } from "./aside";
import { DeleteDialog, IgnoreMenu } from "./choices";
import { decide, decided, type Decision, STATES } from "./decisions";
import { decisionText } from "./history";
import { markdown } from "./markdown";
import { groups, listed, listQuery, reload } from "./model";
import { isBrowser, LONG_MESSAGE, OccurrenceBar, occurrenceOf, opened, releaseOf, RequestAndContext } from "./occurrence";
import { service } from "./service";
import { Stack } from "./stack";
import { readSymbolication } from "./symbolication";

export function IssueDetail({ id }: { id: number }) {
  const source = useMemo(() => new Source<GroupDetail>((abort) => getGroup(id, abort)), [id]);
  const group = source.data.value;
  const ignoring = useSignal(false);
  const deleting = useSignal(false);
  useEffect(() => {
    if (groups.peek().length === 0) void reload();
    return () => source.stop();
  }, [source]);
  useEffect(() => void source.load(), [source, decided.value]);
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
  const at = ids.indexOf(id);
  // Who works through a list goes on with it; who came for this issue sees what became of it.
  const next = listed.peek() && at >= 0 ? (ids[at + 1] ?? ids[at - 1]) : undefined;
  const act = async (decision: Decision) => {
    const done = await decide([id], decision);
    if (done.length === 0) return;
    if (decision.action !== "reopen" && next !== undefined) go(`errors/${next}`, listQuery());
    // The buttons say what is, before the service has told the rest.
    const known = source.data.peek();
    const state = STATES[decision.action];
    if (known) source.data.value = { ...known, state, resolved: state === "resolved", reopened: false };
  };
  const state = group && stateOf(group);
  useKeys("Issue", {
    j: { label: "next issue", run: () => step(1) },
    k: { label: "previous issue", run: () => step(-1) },
    e: { label: state === "resolved" ? "reopen" : "resolve", run: () => (state ? void act({ action: state === "resolved" ? "reopen" : "resolve" }) : false) },
    m: {
      label: state === "ignored" ? "reopen" : "ignore",
      run: () => {
        if (state === "ignored") return void act({ action: "reopen" });
        if (state !== "open") return false;
        ignoring.value = true;
      },
    },
    c: { label: "copy as Markdown", run: () => (group ? void copy(markdown(group, occurrenceOf(group)), "Issue") : false) },
    Escape: { label: "back to the list", run: () => go("", listQuery()) },
  });
  return (
    <Page
      title={group ? `${group.exception_type}: ${group.message.slice(0, 80)}` : `Issue ${id}`}
      service={service()}
      class="detail"
      head={<Head id={id} group={group} ids={ids} ignoring={ignoring} deleting={deleting} onStep={step} onDecide={(decision) => void act(decision)} />}
      status={source.took.value !== null && <span>{Math.max(1, Math.round(source.took.value))}{THIN}ms</span>}
      hints={[
        [["j", "k"], "next issue"],
        [["[", "]"], "occurrence"],
        [["e"], "resolve"],
        [["m"], "ignore"],
        [["c"], "copy as Markdown"],
        [["Escape"], "back"],
      ]}
    >
      <FaultBanner source={source} onRetry={() => void source.load()} />
      {group && source.fault.value?.kind !== "missing" ? <Body group={group} /> : <Absent source={source} />}
      <DeleteDialog open={deleting} ids={[id]} onDeleted={() => (next === undefined ? go("", listQuery()) : go(`errors/${next}`, listQuery()))} />
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
  ignoring: Signal<boolean>;
  deleting: Signal<boolean>;
  onStep: (by: number) => void;
  onDecide: (decision: Decision) => void;
}

function Head({ id, group, ids, onStep, ...decisions }: HeadProps) {
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
      {group && <Decisions group={group} {...decisions} />}
    </>
  );
}

interface DecisionsProps extends Pick<HeadProps, "ignoring" | "deleting" | "onDecide"> {
  group: GroupDetail;
}

function Decisions({ group, ignoring, deleting, onDecide }: DecisionsProps) {
  const state = stateOf(group);
  const release = releaseOf(group.occurrences[0]);
  const more: ActionItem[] = [];
  if (release && state !== "resolved") more.push({ label: `Resolve in ${release.slice(0, 40)}`, icon: "check", run: () => onDecide({ action: "resolve", in_release: release }) });
  more.push({ label: "Delete …", icon: "trash", danger: true, run: () => (deleting.value = true) });
  return (
    <div class="head-end">
      <CopyMenu group={group} />
      {state === "open" ? (
        <IgnoreMenu
          open={ignoring}
          onPick={onDecide}
          button={(props) => (
            <button class="btn" type="button" title="Ignore  M" {...props}>
              <Icon name="mute" small />
              <span>Ignore</span>
              <Icon name="down" small class="caret" />
            </button>
          )}
        />
      ) : (
        <button class="btn" type="button" title={`Reopen  ${state === "ignored" ? "M" : "E"}`} onClick={() => onDecide({ action: "reopen" })}>
          <Icon name="undo" small />
          <span>Reopen</span>
        </button>
      )}
      {state !== "resolved" && (
        <button class="btn primary" type="button" title="Resolve  E" onClick={() => onDecide({ action: "resolve" })}>
          <Icon name="check" small />
          Resolve
        </button>
      )}
      <Actions
        label="More actions"
        items={more}
        button={(props) => (
          <button class="btn quiet square" type="button" aria-label="More actions" title="More actions" {...props}>
            <Icon name="more" />
          </button>
        )}
      />
    </div>
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

function Body({ group }: { group: GroupDetail }) {
  const occurrence = occurrenceOf(group);
  const symbolication = readSymbolication(occurrence?.extra);
  const state = stateOf(group);
  const decision = decisionText(group, now.value);
  const level = occurrence?.level;
  return (
    <>
      <div class="detail-title">
        <p class="detail-type">
          <span class="mono">
            <Hostile text={group.exception_type} />
          </span>
          {state === "resolved" && <span class="badge green">Resolved</span>}
          {state === "ignored" && <span class="badge">Ignored</span>}
          {state === "open" && group.reopened && <span class="badge amber">Reopened</span>}
          <span class="badge line">{isBrowser(occurrence) ? "Browser" : "Server"}</span>
          {level && level !== "error" && (
            <span class="badge line">
              <Hostile text={level} />
            </span>
          )}
          <a class="badge line" href={href("", withQuery("", { project: group.project }))} data-go title="Issues of this project">
            {group.project || "(no project)"}
          </a>
        </p>
        <Message text={group.message} />
        {decision && (
          <p class="decision">
            <Hostile text={decision} />
          </p>
        )}
      </div>
      <div class="detail-grid">
        <div class="detail-main">
          {occurrence && <OccurrenceBar group={group} occurrence={occurrence} />}
          <Stack traceback={occurrence?.traceback || group.traceback} symbolication={symbolication} />
          {occurrence && <RequestAndContext occurrence={occurrence} />}
        </div>
        <Aside group={group} occurrence={occurrence} />
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
