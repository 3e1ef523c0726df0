/** Parts of the list that are seldom seen: nothing found, nothing sent yet, the bar of a selection. */
import { FirstRun, serviceUrl } from "@kit/first-run";
import { Icon } from "@kit/icons";
import { Kbd } from "@kit/menu";
import { rangeLabel } from "@kit/range";
import { Empty } from "@kit/states";
import { setParams } from "@kit/url";
import { copyGroups } from "./copying";
import { filters, range, resolveAll, selected, totals } from "./model";

/** Why the list is empty, and the widest step that is likely to help. */
export function Nothing() {
  const { state, project, source: origin, session } = filters();
  const filtered = Boolean(project || origin || session);
  const clear = () => setParams({ project: null, source: null, session: null });
  if (!filtered && range.value.kind === "all" && state === "open" && totals.value.resolved === 0) return <FirstRun title="Send the first error" code={exampleCode()} />;
  const words = { open: "No open issues", resolved: "No resolved issues", all: "No issues" }[state];
  const when = range.value.kind === "all" ? "" : ` in the ${rangeLabel(range.value, new Date()).toLowerCase()}`;
  return (
    <Empty
      title={words}
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
      {filtered ? `Nothing matches these filters${when}.` : `Nothing was reported${when || " that is not resolved"}.`}
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
  const n = selected.value.size;
  if (n === 0) return null;
  return (
    <div class="selection-bar" role="toolbar" aria-label="Selected issues">
      <span class="selection-n">
        <b>{n}</b> selected
      </span>
      <button type="button" onClick={() => void resolveAll([...selected.value])}>
        <Icon name="check" small />
        Resolve <Kbd>E</Kbd>
      </button>
      <button type="button" onClick={() => void copyGroups([...selected.value])}>
        <Icon name="copy" small />
        Copy <Kbd>C</Kbd>
      </button>
      <button type="button" aria-label="Clear the selection" onClick={() => (selected.value = new Set())}>
        <Icon name="close" small />
      </button>
    </div>
  );
}
