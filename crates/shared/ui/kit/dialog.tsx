/** Dialogs: the list of keys, and what else has to be read before going on. */
import { type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";
import { listedKeys, setSingleKeys, singleKeys, useKeys } from "./keys";
import { KeyCaps } from "./menu";

interface DialogProps {
  open: Signal<boolean>;
  label: string;
  class?: string;
  children: ComponentChildren;
}

/** A modal dialog of the browser: it holds the focus and gives it back. */
export function Dialog(props: DialogProps) {
  return props.open.value ? <Opened {...props} /> : null;
}

function Opened({ open, label, class: more, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => {
    open.value = false;
  };
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  useKeys(label, { Escape: { run: close } }, true);
  return (
    <dialog
      ref={dialog}
      class={more}
      aria-label={label}
      onClose={close}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      {children}
    </dialog>
  );
}

/** `?`: every key of this page, and the switch that turns single keys off. */
export function KeysDialog({ open }: { open: Signal<boolean> }) {
  return (
    <Dialog open={open} label="Keyboard shortcuts" class="dialog keys-dialog">
      <header>
        <h2>Keyboard shortcuts</h2>
        <button class="btn quiet mini square" type="button" aria-label="Close" onClick={() => (open.value = false)}>
          <Icon name="close" />
        </button>
      </header>
      <div class="body">
        {mergedKeys().map(({ title, keys }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl class="keymap">
              {keys.map(([name, label]) => (
                <div key={name}>
                  <dt>
                    <KeyCaps name={name} />
                  </dt>
                  <dd>{label}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <footer>
        <label class="switch-line">
          <input
            class="switch"
            type="checkbox"
            role="switch"
            checked={singleKeys.value}
            onChange={(event) => setSingleKeys(event.currentTarget.checked)}
          />
          Single-key shortcuts
        </label>
      </footer>
    </Dialog>
  );
}

function mergedKeys(): ReturnType<typeof listedKeys> {
  const byTitle = new Map<string, [string, string][]>();
  for (const { title, keys } of listedKeys()) byTitle.set(title, [...(byTitle.get(title) ?? []), ...keys]);
  return [...byTitle].map(([title, keys]) => ({ title, keys }));
}
