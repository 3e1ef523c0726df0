/** What a page shows when it has nothing to show, or something went wrong. Old data is never wiped. */
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Fault } from "./api";
import { clockSeconds } from "./format";
import { Icon, type IconName } from "./icons";
import type { Source } from "./source";

/** Bars in the place of rows. */
export function Skeleton({ rows = 6 }: { rows?: number }) {
  return (
    <div class="skeletons" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, at) => (
        <div key={at}>
          <i class={`skeleton a${(at % 4) + 1}`} />
          <i class={`skeleton b${(at % 4) + 1}`} />
        </div>
      ))}
    </div>
  );
}

interface EmptyProps {
  icon?: IconName;
  title: string;
  children?: ComponentChildren;
  /** Buttons that lead on. */
  actions?: ComponentChildren;
}

/** Says why there is nothing, and what to do about it. */
export function Empty({ icon = "check", title, children, actions }: EmptyProps) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {actions && <div class="row-of">{actions}</div>}
    </div>
  );
}

/** Seconds until `moment`, counted down; null without one. */
function useCountdown(moment: Date | null): number | null {
  const left = useSignal<number | null>(null);
  useEffect(() => {
    const update = () => {
      left.value = moment ? Math.max(0, Math.ceil((moment.getTime() - Date.now()) / 1000)) : null;
    };
    update();
    if (!moment) return;
    const timer = setInterval(update, 250);
    return () => clearInterval(timer);
  }, [moment]);
  return left.value;
}

interface FaultProps<T> {
  source: Source<T>;
  onRetry: () => void;
}

/** One line above the content while a refresh fails and older data is still shown. */
export function FaultBanner<T>({ source, onRetry }: FaultProps<T>) {
  const fault = source.fault.value;
  const left = useCountdown(source.retryAt.value);
  if (!fault || fault.kind === "signed-out" || !source.data.value) return null;
  const from = source.at.value;
  return (
    <div class={`banner${fault.kind === "limited" || fault.kind === "refused" ? "" : " red"}`} role="alert">
      <Icon name={fault.kind === "limited" ? "clock" : "warn"} />
      <span>
        {bannerWords(fault, left)}
        {from && ` What you see is from ${clockSeconds(from)}.`}
      </span>
      <button class="btn mini" type="button" onClick={onRetry}>
        Try now
      </button>
    </div>
  );
}

/** In the place of the content when there is none to keep. */
export function FaultState<T>({ source, onRetry }: FaultProps<T>) {
  const fault = source.fault.value;
  const left = useCountdown(source.retryAt.value);
  if (!fault) return null;
  const next = left === null ? "" : ` The next try is in ${left}\u202fs.`;
  return (
    <div role="alert">
      <Empty
        icon={fault.kind === "limited" ? "clock" : "warn"}
        title={TITLES[fault.kind]}
        actions={
          <button class="btn" type="button" onClick={onRetry}>
            Try now
          </button>
        }
      >
        {fault.detail}
        {next} {fault.requestId && <span class="small t3 block">Request {fault.requestId}</span>}
      </Empty>
    </div>
  );
}

const TITLES: Record<Fault["kind"], string> = {
  "signed-out": "Signed out",
  missing: "Not found",
  refused: "The service refused this",
  limited: "Too many requests",
  unavailable: "The service cannot answer",
  gone: "The service does not answer",
};

function bannerWords(fault: Fault, left: number | null): string {
  const next = left === null ? "" : ` The next try is in ${left}\u202fs.`;
  return fault.kind === "limited" ? `Too many requests.${next}` : `${sentence(fault.detail)}${next}`;
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
