/** Short news at the foot of the page: what was done, and the way back where there is one. */
import { signal } from "@preact/signals";
import { Icon, type IconName } from "./icons";
import { useKeys } from "./keys";

interface Toast {
  id: number;
  text: string;
  icon: IconName;
  action?: { label: string; run: () => void };
}

const toasts = signal<Toast[]>([]);
let next = 0;

/** Shows a text for 4 seconds, 10 with an action, longer never: at most three at a time. */
export function toast(text: string, options: { icon?: IconName; action?: Toast["action"] } = {}): void {
  next += 1;
  const id = next;
  const news: Toast = { id, text, icon: options.icon ?? "check", ...(options.action ? { action: options.action } : {}) };
  toasts.value = [...toasts.peek().slice(-2), news];
  setTimeout(() => dismiss(id), options.action ? 10_000 : 4_000);
}

function dismiss(id: number): void {
  toasts.value = toasts.peek().filter((other) => other.id !== id);
}

/** The place of the toasts, once a page. `z` does what the newest one offers. */
export function Toasts() {
  const act = ({ id, action }: Toast) => {
    dismiss(id);
    action?.run();
  };
  const offer = toasts.value.findLast(({ action }) => action);
  useKeys("Everywhere", offer ? { z: { label: offer.action?.label.toLowerCase() ?? "", run: () => act(offer) } } : {});
  return (
    <div class="toasts" role="status">
      {toasts.value.map((one) => (
        <div class="toast" key={one.id}>
          <Icon name={one.icon} small />
          <span>{one.text}</span>
          {one.action && (
            <button class="btn" type="button" title="Z" onClick={() => act(one)}>
              {one.action.label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
