/** Parts of a page that come in a second file, after the first paint. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { Empty } from "./states";

type Parts = Record<string, ComponentType<never>>;

let load: () => Promise<Parts>;
let asked = false;
const parts = signal<Parts | null>(null);
const failed = signal(false);

/** Says where the second file is. Called once, before anything is painted. */
export function setLater(loader: () => Promise<Parts>): void {
  load = loader;
}

/** Loads the second file, when that has not happened yet. */
export function loadLater(): void {
  if (asked) return;
  asked = true;
  load().then(
    (found) => (parts.value = found),
    () => {
      asked = false;
      failed.value = true;
    },
  );
}

/**
 * A component of the second file, by the name under which it is exported there. A file that is
 * gone (the service was updated since the page was opened) is said, with a way out.
 */
export function lazy<P extends object>(name: string): ComponentType<P> {
  return function Lazy(props: P) {
    useEffect(loadLater, []);
    const Part = parts.value?.[name] as ComponentType<P> | undefined;
    if (Part) return <Part {...props} />;
    return failed.value ? <Unloaded /> : null;
  };
}

function Unloaded() {
  return (
    <Empty
      icon="warn"
      title="A part of this page could not be loaded"
      actions={
        <button class="btn" type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      }
    >
      The service may have been updated since the page was opened.
    </Empty>
  );
}
