/** The button that says which stretch of time a page shows, and its menu. */
import { useSignal } from "@preact/signals";
import { now } from "./dom";
import { zone } from "./format";
import { Icon } from "./icons";
import { useKeys } from "./keys";
import { Option, Popover } from "./menu";
import { parseRange, type Preset, PRESETS, type Range, rangeLabel, rangeText } from "./range";

interface Props {
  range: Range;
  onChange: (range: Range) => void;
  /** Offers "All time", for lists that are not drawn over time. */
  all?: boolean;
  /** False where the service only knows stretches that end now. */
  absolute?: boolean;
}

export function RangeMenu({ range, onChange, all = false, absolute = true }: Props) {
  const open = useSignal(false);
  const fault = useSignal("");
  const presets = all ? [...PRESETS, { text: "all", label: "All time" }] : PRESETS;
  const example = absolute ? "90m, 3d, 14:00–14:30, Mon" : "90m, 3d, 2w";
  const pick = (text: string) => {
    const next = parseRange(text, new Date());
    if (next && (absolute || next.kind === "last" || next.kind === range.kind)) {
      open.value = false;
      onChange(next);
    } else fault.value = `Not a stretch of time. Write it like: ${example}`;
  };
  useKeys("Page", {
    t: {
      label: "time range",
      run: () => {
        fault.value = "";
        open.value = true;
      },
    },
  });
  return (
    <Popover
      open={open}
      label="Time range"
      class="time-menu"
      keys={Object.fromEntries(presets.map(({ text }, at) => [String(at + 1), { run: () => pick(text) }]))}
      button={(props) => (
        <button class="btn" type="button" title="Time range  T" {...props}>
          <Icon name="clock" />
          <span class="cut">{rangeLabel(range, now.value)}</span>
          <Icon name="down" small class="caret" />
        </button>
      )}
    >
      <Choices range={range} presets={presets} example={example} fault={fault.value} onPick={pick} />
    </Popover>
  );
}

interface ChoicesProps {
  range: Range;
  presets: readonly Preset[];
  example: string;
  fault: string;
  onPick: (text: string) => void;
}

function Choices({ range, presets, example, fault, onPick }: ChoicesProps) {
  return (
    <>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onPick(new FormData(event.currentTarget).get("range") as string);
        }}
      >
        <label class="input">
          <Icon name="clock" />
          <span class="sr-only">Time range</span>
          <input name="range" autocomplete="off" spellcheck={false} placeholder={example} aria-invalid={fault ? "true" : undefined} />
        </label>
      </form>
      {fault && (
        <p class="error-text" role="alert">
          {fault}
        </p>
      )}
      <ul>
        {presets.map(({ text, label }, at) => (
          <Option key={text} label={label} kbd={String(at + 1)} active={rangeText(range) === text} onPick={() => onPick(text)} />
        ))}
      </ul>
      <p class="menu-foot">Times in {zone()}</p>
    </>
  );
}
