/** The palette and the list of keys: loaded after the page, because the first paint does not need them. */
import type { Signal } from "@preact/signals";
import { KeysDialog } from "./dialog";
import { Palette } from "./palette";

export function Overlays({ palette, keys }: { palette: Signal<boolean>; keys: Signal<boolean> }) {
  return (
    <>
      <Palette open={palette} />
      <KeysDialog open={keys} />
    </>
  );
}
