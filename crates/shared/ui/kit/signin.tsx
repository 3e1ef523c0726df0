/** The first page of who is not signed in: the key goes to the service, the cookie comes back. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Fault } from "./api";
import { Icon, Mark } from "./icons";
import { dark, switchTheme } from "./look";
import { signIn } from "./session";
import type { Service } from "./shell";

export function SignIn({ service }: { service: Service }) {
  useEffect(() => {
    document.title = `Sign in · ${service.name} · Monlight ${service.title}`;
  }, []);
  return (
    <div class="signin">
      <svg class="horizon" viewBox="0 0 1440 300" preserveAspectRatio="xMidYMax slice" aria-hidden="true">
        <path class="far" d={skyline(1.7, 150, 60)} />
        <path class="near" d={skyline(4.1, 84, 66)} />
      </svg>
      <svg class="moon" viewBox="0 0 200 200" aria-hidden="true">
        <path d="M116 22a78 78 0 1 0 60 119A66 66 0 0 1 116 22Z" />
      </svg>
      <main class="signin-main" id="main">
        <div class="signin-brand">
          <Mark size={28} />
          <span>Monlight</span>
        </div>
        <KeyForm service={service} />
        <p class="signin-foot t3">
          <span>{location.hostname}</span>
          <button type="button" class="link" onClick={switchTheme}>
            {dark.value ? "Light theme" : "Dark theme"}
          </button>
        </p>
      </main>
    </div>
  );
}

function KeyForm({ service }: { service: Service }) {
  const field = useRef<HTMLInputElement>(null);
  const shown = useSignal(false);
  const busy = useSignal(false);
  const fault = useSignal("");
  const wait = useSignal(0);
  useEffect(() => field.current?.focus(), []);
  useEffect(() => {
    if (wait.value <= 0) return;
    const timer = setTimeout(() => (wait.value -= 1), 1000);
    return () => clearTimeout(timer);
  }, [wait.value]);
  const submit = async (event: Event) => {
    event.preventDefault();
    const key = field.current?.value ?? "";
    if (busy.peek() || wait.peek() > 0) return;
    if (!key) {
      fault.value = "The key is missing.";
      field.current?.focus();
      return;
    }
    busy.value = true;
    fault.value = "";
    try {
      await signIn(key);
    } catch (reason) {
      fault.value = words(reason);
      if (reason instanceof Fault && reason.kind === "limited") wait.value = Math.ceil(reason.retryAfter ?? 60);
      field.current?.select();
    }
    busy.value = false;
  };
  return (
    <form class="signin-card" aria-labelledby="signin-title" onSubmit={submit}>
      <h1 id="signin-title">Sign in to {service.name}</h1>
      <p class="t2">Use the key this service was started with.</p>
      <div class="field">
        <label for="key">API key</label>
        <div class="input">
          <input
            id="key"
            ref={field}
            type={(shown.value ? "text" : "password") as "password"}
            autocomplete="current-password"
            spellcheck={false}
            aria-invalid={fault.value ? "true" : undefined}
            aria-describedby={fault.value ? "signin-fault" : undefined}
          />
          <button
            class="btn quiet mini square"
            type="button"
            aria-label="Show the key"
            aria-pressed={shown.value}
            onClick={() => {
              shown.value = !shown.value;
              field.current?.focus();
            }}
          >
            <Icon name="eye" small />
          </button>
        </div>
        {fault.value && (
          <p class="error-text" id="signin-fault" role="alert">
            <Icon name="warn" small />
            <span>{fault.value}</span>
          </p>
        )}
      </div>
      <button class="btn primary tall" type="submit" aria-disabled={busy.value || wait.value > 0}>
        {wait.value > 0 ? `Wait ${wait.value}\u202fs` : busy.value ? "Signing in" : "Sign in"}
      </button>
      <details class="where">
        <summary>Where is the key?</summary>
        <p>
          It is <span class="mono">API_KEY</span> in the <span class="mono">.env</span> file of the installation.
        </p>
      </details>
    </form>
  );
}

function words(reason: unknown): string {
  if (!(reason instanceof Fault)) return String(reason);
  if (reason.kind === "signed-out") return "This key is not right.";
  if (reason.kind === "limited") return "Too many wrong keys. Wait a moment.";
  return reason.detail;
}

/** A skyline of 120 histogram bars: three waves of different lengths, drawn the same every time. */
function skyline(phase: number, base: number, swing: number): string {
  let path = "";
  for (let at = 0; at < 120; at += 1) {
    const wave = Math.sin(at / 9 + phase) * 0.6 + Math.sin(at / 3.7 + phase * 2) * 0.25 + Math.sin(at * 2.3 + phase) * 0.15;
    const height = Math.round(Math.max(18, base + wave * swing));
    path += `M${at * 12} 300v-${height}h11v${height}z`;
  }
  return path;
}
