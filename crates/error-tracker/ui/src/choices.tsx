/** What is asked before something is decided: for how long to ignore, and whether to delete. */
import type { Signal } from "@preact/signals";
import { Dialog } from "@kit/dialog";
import { plural } from "@kit/format";
import { Actions, type ActionItem } from "@kit/menu";
import { type Decision, erase } from "./decisions";

const HOW_LONG: (Pick<ActionItem, "label" | "icon"> & { decision: Decision })[] = [
  { label: "For a day", icon: "clock", decision: { action: "ignore", for: "24h" } },
  { label: "Until 100 more events", icon: "chart", decision: { action: "ignore", count: 100 } },
  { label: "For ever", icon: "mute", decision: { action: "ignore" } },
];

interface IgnoreProps {
  open: Signal<boolean>;
  onPick: (decision: Decision) => void;
  button: Parameters<typeof Actions>[0]["button"];
}

/** For how long: keys 1 to 3 while it is open. */
export function IgnoreMenu({ open, onPick, button }: IgnoreProps) {
  return <Actions label="Ignore" open={open} button={button} items={HOW_LONG.map(({ decision, ...item }, at) => ({ ...item, kbd: String(at + 1), run: () => onPick(decision) }))} />;
}

interface DeleteProps {
  open: Signal<boolean>;
  ids: readonly number[];
  onDeleted?: () => void;
}

/** The one thing that cannot be taken back, so it is asked; keeping has the focus. */
export function DeleteDialog({ open, ids, onDeleted }: DeleteProps) {
  const what = plural(ids.length, "issue");
  const confirm = async () => {
    open.value = false;
    if (await erase(ids)) onDeleted?.();
  };
  return (
    <Dialog open={open} label={`Delete ${what}`} class="dialog">
      <header>
        <h2>Delete {what}?</h2>
      </header>
      <p class="body">Events, note and history go as well, and cannot be brought back. When the error occurs again, it is a new issue.</p>
      <footer class="end">
        <button class="btn" type="button" onClick={() => (open.value = false)}>
          Keep
        </button>
        <button class="btn danger primary" type="button" onClick={() => void confirm()}>
          Delete {what}
        </button>
      </footer>
    </Dialog>
  );
}
