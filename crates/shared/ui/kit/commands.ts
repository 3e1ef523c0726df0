/** What a page can do and where it leads, by name, for the palette. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { IconName } from "./icons";

export interface Command {
  /** The head it stands under: `Go to`, `Do`, `Issues`. */
  group: string;
  label: string;
  icon: IconName;
  kbd?: string;
  run: () => void;
}

export type Supplier = (text: string) => Command[];
/** What the pages offer now. */
export const suppliers = signal<Supplier[]>([]);
/** Adds a page's commands to the palette while a component is mounted. */
export function useCommands(supplier: Supplier): void {
  const latest = useRef(supplier);
  latest.current = supplier;
  useEffect(() => {
    const own: Supplier = (text) => latest.current(text);
    suppliers.value = [...suppliers.peek(), own];
    return () => {
      suppliers.value = suppliers.peek().filter((other) => other !== own);
    };
  }, []);
}
