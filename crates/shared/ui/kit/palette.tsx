/** Ctrl K: jumps to whatever the page knows by name and runs what it can do. */
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Command, suppliers } from "./commands";
import { Dialog } from "./dialog";
import { Icon } from "./icons";
import { Kbd } from "./menu";
import { Marked } from "./text";

/** At most this many lines of a group. */
const PER_GROUP = 8;

function wordsOf(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** Finds the words of `text` in a label, to mark them; null when there are none. */
export function wordPattern(text: string): RegExp | null {
  const words = wordsOf(text).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  // Of two words that begin alike the longer one is marked whole.
  return words.length > 0 ? new RegExp(words.sort((left, right) => right.length - left.length).join("|"), "giu") : null;
}

/** All commands whose label holds every word of `text`, by group in the order of their suppliers. */
export function matching(all: Command[], text: string): Map<string, Command[]> {
  const words = wordsOf(text);
  const groups = new Map<string, Command[]>();
  for (const command of all) {
    const label = command.label.toLowerCase();
    if (!words.every((word) => label.includes(word))) continue;
    const group = groups.get(command.group) ?? [];
    if (group.length < PER_GROUP) group.push(command);
    groups.set(command.group, group);
  }
  return groups;
}

export function Palette({ open }: { open: Signal<boolean> }) {
  return (
    <Dialog open={open} label="Search or jump" class="palette">
      <PaletteBody onClose={() => (open.value = false)} />
    </Dialog>
  );
}

function PaletteBody({ onClose }: { onClose: () => void }) {
  const text = useSignal("");
  const at = useSignal(0);
  const list = useRef<HTMLUListElement>(null);
  const groups = matching(
    [...suppliers.value].reverse().flatMap((supplier) => supplier(text.value)),
    text.value,
  );
  const flat = [...groups.values()].flat();
  const chosen = flat[Math.min(at.value, flat.length - 1)];
  useEffect(() => list.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest" }));
  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    // After the dialog has given the focus back, so that the command can move it.
    setTimeout(command.run);
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) at.value = (Math.min(at.value, flat.length - 1) + step + flat.length) % Math.max(flat.length, 1);
    else if (event.key === "Enter") run(chosen);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <div class="input">
        <Icon name="search" />
        <input
          aria-label="Search or jump"
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={chosen ? `palette-${flat.indexOf(chosen)}` : undefined}
          placeholder="Search or jump"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => {
            text.value = event.currentTarget.value;
            at.value = 0;
          }}
          onKeyDown={onKey}
        />
        <Kbd>Esc</Kbd>
      </div>
      <ul class="menu" role="listbox" aria-label="Results" id="palette-list" ref={list}>
        {[...groups].map(([group, commands]) => (
          <li key={group} role="group" aria-label={group}>
            <span class="palette-head" aria-hidden="true">
              {group}
            </span>
            {commands.map((command) => (
              <div
                key={command.label}
                class="palette-line"
                role="option"
                id={`palette-${flat.indexOf(command)}`}
                aria-selected={command === chosen}
                data-active={command === chosen || undefined}
                onClick={() => run(command)}
              >
                <Icon name={command.icon} />
                <span class="cut">
                  <Marked text={command.label} pattern={wordPattern(text.value)} />
                </span>
                {command.kbd && <Kbd>{command.kbd}</Kbd>}
              </div>
            ))}
          </li>
        ))}
      </ul>
      {flat.length === 0 && <p class="palette-none t2">Nothing has this name.</p>}
    </>
  );
}
