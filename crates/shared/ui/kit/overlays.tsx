/** The palette and the list of keys: loaded after the page, because the first paint does not need them. */
import type { Signal } from "@preact/signals";
import { type Command, useCommands } from "./commands";
import { KeysDialog } from "./dialog";
import { switchSide, switchTheme } from "./look";
import { Palette } from "./palette";
import type { Neighbour, ServiceId, SubPage } from "./shell";
import { go } from "./url";

interface Props {
  palette: Signal<boolean>;
  keys: Signal<boolean>;
  pages: SubPage[];
  services: Neighbour[];
  current: ServiceId;
  onLeave: () => void;
}

export function Overlays({ palette, keys, pages, services, current, onLeave }: Props) {
  useCommands(() => [
    ...pages.map(({ path, query, label }): Command => ({ group: "Go to", label, icon: current, run: () => go(path, query) })),
    ...services.filter(({ id }) => id !== current).map(({ name, icon, url }): Command => ({ group: "Go to", label: name, icon, run: () => location.assign(url) })),
    { group: "Do", label: "Switch the theme", icon: "sun", run: switchTheme },
    { group: "Do", label: "Fold the navigation", icon: "side", kbd: "\\", run: switchSide },
    { group: "Do", label: "Show all keys", icon: "keys", kbd: "?", run: () => void (keys.value = true) },
    { group: "Do", label: "Sign out", icon: "out", run: onLeave },
  ]);
  return (
    <>
      <Palette open={palette} />
      <KeysDialog open={keys} />
    </>
  );
}
