/** The Live button: says whether new data flows, and how often the page asks for it. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Fault } from "./api";
import { now } from "./dom";
import { Icon } from "./icons";
import { useKeys } from "./keys";
import { Option, Popover } from "./menu";
import { param, setParams } from "./url";

export interface Interval {
  /** As in the URL. */
  text: string;
  label: string;
  /** Milliseconds; 0 is off. */
  every: number;
}

export const INTERVALS: readonly Interval[] = [
  { text: "5s", label: "Every 5 seconds", every: 5_000 },
  { text: "30s", label: "Every 30 seconds", every: 30_000 },
  { text: "1m", label: "Every minute", every: 60_000 },
  { text: "5m", label: "Every 5 minutes", every: 300_000 },
  { text: "off", label: "Off", every: 0 },
];

const USUAL = "30s";

/** The interval the URL asks for. */
export function interval(usual = USUAL): Interval {
  const wanted = param("refresh") || usual;
  return INTERVALS.find(({ text }) => text === wanted) ?? { text: usual, label: "", every: 0 };
}

/** Calls `refresh` at the chosen interval, only while somebody can see the page. */
export function useRefresh(refresh: () => void, usual = USUAL): void {
  const latest = useRef(refresh);
  latest.current = refresh;
  const { every } = interval(usual);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => {
      if (!document.hidden) latest.current();
    }, every);
    // Who comes back to the page sees what is, not what was.
    const seen = () => !document.hidden && latest.current();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [every]);
}

/** What the button shows when the interval alone does not say it. */
export interface LiveState {
  dot: "flowing" | "paused" | "off";
  label: string;
  lost?: boolean;
}

interface LiveProps {
  fault: Fault | null;
  retryAt: Date | null;
  /** The choices of the menu, the usual one of the page first asked for by `usual`. */
  choices?: readonly Interval[];
  usual?: string;
  state?: LiveState | undefined;
}

/** `fault` and `retryAt` of what the page loads: a lost service is said here in red. */
export function Live({ fault, retryAt, choices = INTERVALS, usual = USUAL, state }: LiveProps) {
  const open = useSignal(false);
  const wanted = param("refresh") || usual;
  const pick = (next: string) => {
    open.value = false;
    setParams({ refresh: next === usual ? null : next }, true);
  };
  useKeys("Page", { l: { label: "live on or off", run: () => pick(wanted === "off" ? usual : "off") } });
  const shown = state ?? liveState(wanted, fault, retryAt);
  return (
    <Popover
      open={open}
      label="Refresh"
      button={(props) => (
        <button class="btn live" type="button" title="Live  L" {...props}>
          <span class={`live-dot${shown.dot === "flowing" ? "" : ` ${shown.dot}`}`} />
          <span class={shown.lost ? "red" : undefined}>{shown.label}</span>
        </button>
      )}
    >
      <ul>
        {choices.map((choice) => (
          <Option key={choice.text} label={choice.label} active={choice.text === wanted} onPick={() => pick(choice.text)} />
        ))}
      </ul>
    </Popover>
  );
}

function liveState(wanted: string, fault: Fault | null, retryAt: Date | null): LiveState {
  if (fault?.kind === "gone" || fault?.kind === "unavailable") {
    return { dot: "paused", label: retryAt ? `Lost, again in ${secondsTo(retryAt)}` : "Lost", lost: true };
  }
  return wanted === "off" ? { dot: "off", label: "Off" } : { dot: "flowing", label: "Live" };
}

/** `5 s` until a moment, for a count-down that moves with the page's clock. */
export function secondsTo(moment: Date): string {
  return `${Math.max(1, Math.ceil((moment.getTime() - Math.max(now.value.getTime(), Date.now())) / 1000))}\u202fs`;
}

/** Reload by hand. */
export function RefreshButton({ busy, onClick }: { busy: boolean; onClick: () => void }) {
  useKeys("Page", { r: { label: "reload", run: onClick } });
  return (
    <button class="btn quiet square" type="button" aria-label="Reload" title="Reload  R" aria-busy={busy} onClick={onClick}>
      <Icon name="refresh" />
    </button>
  );
}
