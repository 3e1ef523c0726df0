/** Parts of a page that come in a file of their own, after the first paint. */
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { Empty } from "./states";

/**
 * A component whose code is loaded when it is first shown, or before that by `preload`. A file
 * that is gone (the service was updated since the page was opened) is said, with a way out.
 */
export function lazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> & { preload: () => void } {
  const loaded = signal<ComponentType<P> | null>(null);
  const failed = signal(false);
  let asked = false;
  const preload = () => {
    if (asked) return;
    asked = true;
    load().then(
      (part) => (loaded.value = part.default),
      () => {
        asked = false;
        failed.value = true;
      },
    );
  };
  function Lazy(props: P) {
    useEffect(preload, []);
    const Part = loaded.value;
    if (Part) return <Part {...props} />;
    return failed.value ? <Unloaded /> : null;
  }
  return Object.assign(Lazy, { preload });
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
