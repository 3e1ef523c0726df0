/** Parts of the list that are seldom seen: nothing found, nothing sent yet, the bar of a selection. */
import { useSignal } from "@preact/signals";
import { FirstRun, serviceUrl } from "@kit/first-run";
import { Icon } from "@kit/icons";
import { Kbd } from "@kit/menu";
import { rangeLabel } from "@kit/range";
import { Empty } from "@kit/states";
import { setParams } from "@kit/url";
import { FACTS, stateOf } from "./api";
import { copyGroups } from "./copying";
import { decide } from "./decisions";
import { DeleteDialog, IgnoreMenu } from "./choices";
import { filters, groups, ignoring, range, searchFault, selected, totals } from "./model";

const WORDS = { open: "No open issues", ignored: "No ignored issues", resolved: "No resolved issues", all: "No issues" };

/** Why the list is empty, and the widest step that is likely to help. */
export function Nothing() {
  const wanted = filters();
  const { state, search } = wanted;
  const facts = FACTS.filter((name) => wanted[name]);
  const filtered = search !== "" || facts.length > 0;
  const clear = () => setParams({ ...Object.fromEntries(facts.map((name) => [name, null])), q: null, search: null });
  const { ignored, resolved } = totals.value;
  if (!filtered && range.value.kind === "all" && state === "open" && ignored?.n === 0 && resolved?.n === 0) return <FirstRun title="Send the first error" code={exampleCode()} />;
  const when = range.value.kind === "all" ? "" : ` in the ${rangeLabel(range.value, new Date()).toLowerCase()}`;
  const left = state === "open" ? " that is neither resolved nor ignored" : "";
  const unread = searchFault() !== null;
  return (
    <Empty
      icon={unread ? "search" : "check"}
      title={unread ? "This search cannot be read" : WORDS[state]}
      actions={
        <>
          {range.value.kind !== "all" && (
            <button class="btn" type="button" onClick={() => setParams({ range: null })}>
              All time
            </button>
          )}
          {filtered && (
            <button class="btn quiet" type="button" onClick={clear}>
              Clear filters
            </button>
          )}
        </>
      }
    >
      {unread ? 'Words, "a phrase", prefix*, -not, one OR another.' : filtered ? `Nothing matches these filters${when}.` : `Nothing was reported${when || left}.`}
    </Empty>
  );
}

function exampleCode(): string {
  return `# pip install monlight
from monlight import ErrorClient

errors = ErrorClient("${serviceUrl()}", "your-key", project="my-app")
try:
    1 / 0
except ZeroDivisionError as fault:
    errors.report_error_sync(fault)`;
}

export function SelectionBar() {
  const deleting = useSignal(false);
  const ids = [...selected.value];
  const picked = groups.value.filter(({ id }) => selected.value.has(id));
  if (ids.length === 0) return null;
  return (
    <>
      <div class="selection-bar" role="toolbar" aria-label="Selected issues">
        <span class="selection-n">
          <b>{ids.length}</b> selected
        </span>
        {picked.some((group) => stateOf(group) !== "resolved") && (
          <button type="button" onClick={() => void decide(ids, { action: "resolve" })}>
            <Icon name="check" small />
            <span>Resolve</span> <Kbd>E</Kbd>
          </button>
        )}
        {picked.some((group) => stateOf(group) !== "open") && (
          <button type="button" onClick={() => void decide(ids, { action: "reopen" })}>
            <Icon name="undo" small />
            <span>Reopen</span>
          </button>
        )}
        <IgnoreMenu
          open={ignoring}
          onPick={(decision) => void decide(ids, decision)}
          button={(props) => (
            <button type="button" {...props}>
              <Icon name="mute" small />
              <span>Ignore</span> <Kbd>M</Kbd>
            </button>
          )}
        />
        <button type="button" onClick={() => void copyGroups(ids)}>
          <Icon name="copy" small />
          <span>Copy</span> <Kbd>C</Kbd>
        </button>
        <button type="button" onClick={() => (deleting.value = true)}>
          <Icon name="trash" small />
          <span>Delete</span>
        </button>
        <button type="button" aria-label="Clear the selection" onClick={() => (selected.value = new Set())}>
          <Icon name="close" small />
        </button>
      </div>
      <DeleteDialog open={deleting} ids={ids} />
    </>
  );
}
