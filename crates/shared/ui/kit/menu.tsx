/** What opens below a button: a list of choices or of actions. */
import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";
import { type KeyMap, useKeys } from "./keys";

const MARGIN = 8;

interface PopoverProps {
  open: Signal<boolean>;
  /** The accessible name of what opens. */
  label: string;
  class?: string;
  button: (props: ButtonProps) => ComponentChildren;
  /** Keys that work while it is open. */
  keys?: KeyMap;
  children: ComponentChildren;
}

/** What the button of a menu has to carry. */
export interface ButtonProps {
  "aria-haspopup": "true";
  "aria-expanded": boolean;
  onClick: () => void;
}

/** A box at a button. It lies above everything, stays inside the window and closes on Escape or a press outside. */
export function Popover({ open, label, class: more, button, keys, children }: PopoverProps) {
  const anchor = useRef<HTMLSpanElement>(null);
  return (
    <span class="anchor" ref={anchor}>
      {button({ "aria-haspopup": "true", "aria-expanded": open.value, onClick: () => (open.value = !open.peek()) })}
      {open.value && (
        <Box open={open} label={label} class={more} keys={keys} anchor={() => anchor.current}>
          {children}
        </Box>
      )}
    </span>
  );
}

interface BoxProps {
  open: Signal<boolean>;
  label: string;
  class?: string | undefined;
  keys: KeyMap | undefined;
  anchor: () => HTMLElement | null;
  children: ComponentChildren;
}

function Box({ open, label, class: more, keys, anchor, children }: BoxProps) {
  const box = useRef<HTMLDivElement>(null);
  const close = () => {
    open.value = false;
    anchor()?.querySelector("button")?.focus();
  };
  useLayoutEffect(() => {
    const place = () => box.current && anchor() && placeBelow(box.current, anchor()!);
    place();
    const stops = box.current;
    (stops?.querySelector<HTMLElement>("input[data-first], [data-active]") ?? stops?.querySelector<HTMLElement>("input, button, a"))?.focus();
    const outside = (event: PointerEvent) => {
      const target = event.target as Node;
      if (!box.current?.contains(target) && !anchor()?.contains(target)) open.value = false;
    };
    addEventListener("resize", place);
    document.addEventListener("pointerdown", outside);
    return () => {
      removeEventListener("resize", place);
      document.removeEventListener("pointerdown", outside);
    };
  }, []);
  useKeys("Menu", { ...keys, Escape: { run: close } }, true);
  return (
    <div
      class={`menu floating ${more ?? ""}`}
      role="group"
      aria-label={label}
      ref={box}
      // Arrows move between the choices, also out of the field on top.
      onKeyDown={(event) => {
        if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
        event.preventDefault();
        moveFocus(box.current, event.key === "ArrowDown" ? 1 : -1);
      }}
    >
      {children}
    </div>
  );
}

function placeBelow(box: HTMLElement, anchor: HTMLElement): void {
  const at = (anchor.firstElementChild ?? anchor).getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const left = at.left + width > innerWidth - MARGIN ? at.right - width : at.left;
  const below = at.bottom + 4 + height <= innerHeight - MARGIN || at.top < height;
  const top = below ? at.bottom + 4 : at.top - height - 4;
  box.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
  box.style.top = `${Math.max(MARGIN, top)}px`;
}

function moveFocus(box: HTMLElement | null, step: number): void {
  const stops = [...(box?.querySelectorAll<HTMLElement>("input, button, a[href]") ?? [])];
  const at = stops.indexOf(document.activeElement as HTMLElement);
  stops[(at + step + stops.length) % stops.length]?.focus();
}

export interface Choice {
  value: string;
  label: string;
  /** How many there are, shown at the right. */
  count?: string;
  mono?: boolean;
}

interface FilterProps {
  label: string;
  choices: Choice[];
  /** The chosen value; an empty text is "all". */
  value: string;
  onChange: (value: string) => void;
  /** What stands for the empty text. */
  all?: string;
  /** Said when there is nothing to choose from. */
  none?: string;
  open?: Signal<boolean>;
  title?: string;
}

/** A filter with one value: a button that is tinted when set, and a menu with a search when it is long. */
export function Filter({ label, choices, value, onChange, all = "All", none, open, title }: FilterProps) {
  const own = useSignal(false);
  const shown = open ?? own;
  const text = useSignal("");
  const chosen = choices.find((choice) => choice.value === value);
  const wanted = text.value.trim().toLowerCase();
  const pick = (next: string) => {
    shown.value = false;
    text.value = "";
    onChange(next);
  };
  return (
    <Popover
      open={shown}
      label={label}
      class="filter-menu"
      button={(props) => (
        <button class={`btn filter${value ? " set" : ""}`} type="button" title={title} {...props}>
          <span class="hint">{label}</span>
          {value && <span class="filter-value cut">{chosen?.label ?? value}</span>}
          <Icon name="down" small class="caret" />
        </button>
      )}
    >
      {choices.length > 7 && (
        <label class="input">
          <Icon name="search" />
          <span class="sr-only">Find</span>
          <input data-first value={text.value} placeholder={label} onInput={(event) => (text.value = event.currentTarget.value)} />
        </label>
      )}
      <ul>
        <Option label={all} active={!value} onPick={() => pick("")} />
        {choices
          .filter((choice) => choice.label.toLowerCase().includes(wanted))
          .map((choice) => (
            <Option
              key={choice.value}
              label={choice.label}
              count={choice.count}
              mono={choice.mono}
              active={choice.value === value}
              onPick={() => pick(choice.value)}
            />
          ))}
      </ul>
      {choices.length === 0 && none && <p class="menu-foot">{none}</p>}
    </Popover>
  );
}

interface OptionProps {
  label: string;
  count?: string | undefined;
  mono?: boolean | undefined;
  active: boolean;
  kbd?: string | undefined;
  onPick: () => void;
}

/** One line of a menu of choices. */
export function Option({ label, count, mono, active, kbd, onPick }: OptionProps) {
  return (
    <li>
      <button type="button" aria-pressed={active} data-active={active || undefined} onClick={onPick}>
        <span class={`cut${mono ? " mono" : ""}`}>{label}</span>
        <span class="menu-end">
          {count && <span class="t3">{count}</span>}
          {active ? <Icon name="check" small /> : kbd && <Kbd>{kbd}</Kbd>}
        </span>
      </button>
    </li>
  );
}

/** A set filter that has no menu of its own: click removes it. */
export function Chip({ label, value, onRemove }: { label: string; value: string; onRemove: () => void }) {
  return (
    <span class="chip set">
      <span class="chip-text cut" title={value}>
        <span class="t3">{label}</span> <span class="mono">{value}</span>
      </span>
      <button type="button" aria-label={`Remove the filter ${label}`} title="Remove" onClick={onRemove}>
        <Icon name="close" small />
      </button>
    </span>
  );
}

/** The cap of a key. It repeats what a title or a list of keys says, so it is not read out. */
export function Kbd({ children }: { children: ComponentChildren }) {
  return (
    <kbd class="kbd" aria-hidden="true">
      {children}
    </kbd>
  );
}

const APPLE = typeof navigator !== "undefined" && /Mac|iPhone|iPad/.test(navigator.platform);
const CAPS: Record<string, string> = { Enter: "↵", Escape: "Esc", ArrowDown: "↓", ArrowUp: "↑", Backspace: "⌫", Mod: APPLE ? "⌘" : "Ctrl" };

/** The caps of a key's name: `g e` are two, `Mod+k` is `Ctrl K`. */
export function KeyCaps({ name }: { name: string }) {
  return (
    <>
      {name.split(/[ +]/).map((part) => (
        <Kbd key={part}>{CAPS[part] ?? (part.length === 1 ? part.toUpperCase() : part)}</Kbd>
      ))}
      <span class="sr-only">{name}</span>
    </>
  );
}

/** The key that is Ctrl, or ⌘ on a Mac. */
export const modCap = CAPS["Mod"]!;

export interface ActionItem {
  label: string;
  icon?: Parameters<typeof Icon>[0]["name"];
  kbd?: string;
  /** It cannot be taken back. */
  danger?: boolean;
  run: () => void;
}

interface ActionsProps {
  label: string;
  items: ActionItem[];
  button: PopoverProps["button"];
  /** For a key that opens it. */
  open?: Signal<boolean>;
}

/** A button with a menu of actions. While it is open, the keys of the actions work. */
export function Actions({ label, items, button, open }: ActionsProps) {
  const own = useSignal(false);
  const shown = open ?? own;
  useEffect(() => () => void (shown.value = false), []);
  const act = (item: ActionItem) => {
    shown.value = false;
    item.run();
  };
  return (
    <Popover open={shown} label={label} button={button} keys={Object.fromEntries(items.flatMap((item) => (item.kbd ? [[item.kbd.toLowerCase(), { run: () => act(item) }]] : [])))}>
      <ul>
        {items.map((item) => (
          <li key={item.label}>
            <button type="button" class={item.danger ? "red" : undefined} onClick={() => act(item)}>
              {item.icon && <Icon name={item.icon} />}
              <span>{item.label}</span>
              {item.kbd && <Kbd>{item.kbd}</Kbd>}
            </button>
          </li>
        ))}
      </ul>
    </Popover>
  );
}
