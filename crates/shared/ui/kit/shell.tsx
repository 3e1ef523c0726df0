/** The frame of every page: navigation on the desk, one sheet with head, content and status line. */
import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Fault, request } from "./api";
import { zone } from "./format";
import { Icon, type IconName, Mark } from "./icons";
import { useKeys } from "./keys";
import { lazy } from "./lazy";
import { dark, switchSide, switchTheme } from "./look";
import { Kbd, KeyCaps, modCap } from "./menu";
import { session, type Siblings, signOut } from "./session";
import { toast } from "./toast";
import { go, href } from "./url";

export type ServiceId = keyof Siblings;

export interface SubPage {
  path: string;
  query?: string;
  label: string;
  /** Whether the reader is on it, or on what belongs to it. */
  here: boolean;
  /** A count at the right, when the page knows one. */
  n?: string;
}

export interface Service {
  id: ServiceId;
  /** As in the navigation: `Errors`. */
  name: string;
  /** As the service calls itself: `Error Tracker`. */
  title: string;
  pages: SubPage[];
}

const SERVICES: { id: ServiceId; name: string; icon: IconName; key: string }[] = [
  { id: "errors", name: "Errors", icon: "errors", key: "g e" },
  { id: "logs", name: "Logs", icon: "logs", key: "g l" },
  { id: "metrics", name: "Metrics", icon: "metrics", key: "g m" },
  { id: "browser", name: "Browser", icon: "browser", key: "g b" },
];

/** What `/health` says, asked every minute. Null until it was asked. */
const health = signal<{ ok: boolean; text: string } | null>(null);
const Overlays = lazy<Parameters<typeof import("./overlays").Overlays>[0]>("Overlays");
const paletteOpen = signal(false);
const keysOpen = signal(false);

function useHealth(): void {
  useEffect(() => {
    const ask = async () => {
      if (document.hidden) return;
      try {
        const { data } = await request<Record<string, unknown>>("health");
        const facts = Object.entries(data).filter(([key, value]) => key !== "status" && typeof value !== "object");
        health.value = { ok: true, text: facts.map(([key, value]) => `${key.replaceAll("_", " ")}: ${String(value)}`).join("\n") };
      } catch (reason) {
        health.value = { ok: false, text: reason instanceof Fault ? reason.detail : String(reason) };
      }
    };
    void ask();
    const timer = setInterval(ask, 60_000);
    return () => clearInterval(timer);
  }, []);
}

function leave(): void {
  signOut().catch((reason: unknown) => toast(reason instanceof Fault ? reason.detail : String(reason), { icon: "warn" }));
}

/** A service and where it is. */
export interface Neighbour {
  id: ServiceId;
  name: string;
  icon: IconName;
  /** The keys that lead there: `g e`. */
  key: string;
  url: string;
}

/** The services that can be reached from here: this one, and those whose address the operator named. */
function reachable(service: Service): Neighbour[] {
  const state = session.value;
  const siblings = state.state === "in" ? state.info.siblings : null;
  return SERVICES.flatMap((entry) => {
    const url = entry.id === service.id ? href("") : (siblings?.[entry.id] ?? null);
    return url ? [{ ...entry, url }] : [];
  });
}

export function Shell({ service, children }: { service: Service; children: ComponentChildren }) {
  const services = reachable(service);
  const state = session.value;
  useHealth();
  useKeys("Everywhere", {
    "Mod+k": { label: "search or jump", run: () => void (paletteOpen.value = true) },
    "?": { label: "all keys", run: () => void (keysOpen.value = true) },
    "\\": { label: "fold the navigation", run: switchSide },
    ...Object.fromEntries(services.map(({ key, name, id, url }) => [key, { label: name, run: () => (id === service.id ? go("") : location.assign(url)) }])),
  });
  return (
    <>
      <div class="app">
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <nav class="side" aria-label="Monlight">
          <div class="side-top">
            <a class="brand" href={href("")} data-go>
              <Mark />
              <span>Monlight</span>
            </a>
            <button class="btn quiet mini square" type="button" aria-label="Fold the navigation" title="Fold  \" onClick={switchSide}>
              <Icon name="side" />
            </button>
          </div>
          <button class="jump" type="button" title="Search or jump" onClick={() => (paletteOpen.value = true)}>
            <Icon name="search" />
            <span>Search or jump</span>
            <Kbd>{modCap === "⌘" ? "⌘K" : "Ctrl K"}</Kbd>
          </button>
          <ul class="services">
            {services.map(({ id, name, icon, url }) => (
              <li key={id}>
                {id === service.id ? (
                  <>
                    <a href={url} title={name} data-go aria-current="true">
                      <Icon name={icon} />
                      <span>{name}</span>
                    </a>
                    <SubPages pages={service.pages} />
                  </>
                ) : (
                  <a href={url} title={name}>
                    <Icon name={icon} />
                    <span>{name}</span>
                  </a>
                )}
              </li>
            ))}
          </ul>
          <div class="side-foot">
            <Health version={state.state === "in" ? state.info.version : ""} />
            <div class="side-tools">
              <ThemeButton />
              <button class="btn quiet mini square" type="button" aria-label="Keyboard shortcuts" title="Keyboard  ?" onClick={() => (keysOpen.value = true)}>
                <Icon name="keys" />
              </button>
              <button class="btn quiet mini square" type="button" aria-label="Sign out" title="Sign out" onClick={leave}>
                <Icon name="out" />
              </button>
            </div>
          </div>
        </nav>
        {children}
        <nav class="phone-nav" aria-label="Services">
          {services.map(({ id, name, icon, url }) => (
            <a key={id} href={url} {...(id === service.id ? { "aria-current": "true", "data-go": true } : {})}>
              <Icon name={icon} />
              <span>{name}</span>
            </a>
          ))}
          <button type="button" onClick={() => (paletteOpen.value = true)}>
            <Icon name="more" />
            <span>More</span>
          </button>
        </nav>
      </div>
      {(paletteOpen.value || keysOpen.value) && <Overlays palette={paletteOpen} keys={keysOpen} pages={service.pages} services={services} current={service.id} onLeave={leave} />}
    </>
  );
}

function SubPages({ pages }: { pages: SubPage[] }) {
  return (
    <ul class="subs">
      {pages.map(({ path, query, label, n, here }) => (
        <li key={label}>
          <a href={href(path, query)} data-go {...(here ? { "aria-current": "page" as const } : {})}>
            <span>{label}</span>
            {n && <span class="n">{n}</span>}
          </a>
        </li>
      ))}
    </ul>
  );
}

function Health({ version }: { version: string }) {
  const state = health.value;
  return (
    <span class="health" title={state?.text || undefined}>
      <span class={`dot ${state ? (state.ok ? "green" : "red") : ""}`} />
      <span>{state ? (state.ok ? "Healthy" : "Not well") : "…"}</span>
      <span class="t3">{version}</span>
    </span>
  );
}

export function ThemeButton() {
  return (
    <button class="btn quiet mini square" type="button" aria-label={dark.value ? "Light theme" : "Dark theme"} title="Theme" onClick={switchTheme}>
      <Icon name={dark.value ? "sun" : "moon"} />
    </button>
  );
}

interface PageProps {
  /** Of the browser's tab; the name of the service is added. */
  title: string;
  service: Service;
  class?: string;
  head: ComponentChildren;
  children: ComponentChildren;
  /** The left half of the status line. */
  status?: ComponentChildren;
  /** The page's most useful keys and what they do. */
  hints?: [string[], string][];
}

/** The sheet. Its head and its status line stay while the rest scrolls. */
export function Page({ title, service, class: more, head, children, status, hints = [] }: PageProps) {
  useEffect(() => {
    document.title = `${title} · ${service.name} · Monlight ${service.title}`;
  }, [title]);
  return (
    <main class={`sheet${more ? ` ${more}` : ""}`} id="main" tabIndex={-1}>
      <header class="head">{head}</header>
      {children}
      <footer class="status">
        {status}
        <span>Times in {zone()}</span>
        <span class="status-keys">
          {[...hints, [["?"], "all keys"] as [string[], string]].map(([keys, label]) => (
            <span class="status-key" key={label}>
              {keys.map((key) => (
                <KeyCaps key={key} name={key} />
              ))}
              {label}
            </span>
          ))}
        </span>
      </footer>
    </main>
  );
}

/** The search field of a page: `/` goes there, Escape leaves it, typing is passed on after a rest. */
export function SearchField({ label, placeholder, value, onChange, onErase, children, wide, fault }: SearchProps) {
  const typed = useSignal(value);
  const shown = useSignal(value);
  // A change from outside (back, a clicked value) replaces what was typed.
  if (shown.peek() !== value) {
    shown.value = value;
    typed.value = value;
  }
  useEffect(() => {
    // A blank at the end is the start of a next word: it neither asks anew nor is taken away.
    if (typed.value.trim() === shown.peek()) return;
    const timer = setTimeout(() => {
      shown.value = typed.peek().trim();
      onChange(shown.peek());
    }, 250);
    return () => clearTimeout(timer);
  }, [typed.value]);
  useKeys("Page", {
    "/": {
      label: "search",
      run: () => document.querySelector<HTMLInputElement>(".search input")?.focus(),
    },
  });
  return (
    <div class={`search-box${wide ? " wide" : ""}`}>
      <label class="input search">
        <Icon name="search" />
        <span class="sr-only">{label}</span>
        <input
          type="search"
          value={typed.value}
          placeholder={placeholder}
          autocomplete="off"
          spellcheck={false}
          aria-invalid={fault ? "true" : undefined}
          aria-describedby={fault ? "search-fault" : undefined}
          onInput={(event) => (typed.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Backspace" && !typed.peek()) onErase?.();
            if (event.key !== "Escape") return;
            event.preventDefault();
            event.currentTarget.blur();
          }}
        />
        {children ?? <Kbd>/</Kbd>}
      </label>
      {fault && (
        <p class="error-text search-fault" id="search-fault" role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

interface SearchProps {
  label: string;
  placeholder: string;
  value: string;
  onChange: (text: string) => void;
  /** Backspace in an empty field. */
  onErase?: () => void;
  children?: ComponentChildren;
  wide?: boolean;
  /** Why the service refused the text. */
  fault?: string | null;
}
