/** What the people who look after it know about an issue. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "@kit/icons";
import { Hostile } from "@kit/text";
import { type GroupDetail, writeNote } from "./api";
import { decided, faultText } from "./decisions";

/** Shown, and written in place. What is being written survives a refresh. */
export function Note({ group }: { group: GroupDetail }) {
  const draft = useSignal<string | null>(null);
  const fault = useSignal("");
  const field = useRef<HTMLTextAreaElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const editing = draft.value !== null;
  useEffect(() => {
    if (!editing) return;
    field.current?.focus();
    // Behind the closed field the button is there again.
    return () => setTimeout(() => button.current?.focus());
  }, [editing]);
  if (group.note === undefined) return null;
  const close = () => {
    fault.value = "";
    draft.value = null;
  };
  const save = async () => {
    try {
      await writeNote(group.id, (draft.peek() ?? "").trim());
    } catch (reason) {
      fault.value = faultText(reason);
      return;
    }
    close();
    decided.value += 1;
  };
  return (
    <section class="note" aria-labelledby="note">
      <div class="sec-head">
        <h2 id="note">Note</h2>
        {!editing && (
          <button class="btn quiet mini end" type="button" ref={button} onClick={() => (draft.value = group.note ?? "")}>
            {group.note ? "Edit" : "Add a note"}
          </button>
        )}
      </div>
      {!editing && group.note && (
        <p class="note-text">
          <Hostile text={group.note} />
        </p>
      )}
      {editing && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          <textarea
            class="input"
            ref={field}
            rows={4}
            aria-labelledby="note"
            aria-invalid={fault.value ? "true" : undefined}
            value={draft.value ?? ""}
            onInput={(event) => (draft.value = event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Escape") close();
              else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void save();
              else return;
              event.preventDefault();
            }}
          />
          {fault.value && (
            <p class="error-text" role="alert">
              <Icon name="warn" small />
              {fault.value}
            </p>
          )}
          <p class="note-end">
            <button class="btn mini" type="button" onClick={close}>
              Cancel
            </button>
            <button class="btn mini primary" type="submit">
              Save
            </button>
          </p>
        </form>
      )}
    </section>
  );
}
