/** Issues as text for a ticket or a chat. */
import { copy } from "@kit/dom";
import { plural } from "@kit/format";
import { root } from "@kit/url";
import { groups } from "./model";

/** Puts a list of issues on the clipboard, a line each. */
export function copyGroups(ids: readonly number[]): Promise<void> {
  const lines = groups
    .peek()
    .filter(({ id }) => ids.includes(id))
    .map((group) => `- **${group.exception_type}** ${group.message.split("\n", 1)[0]} (${group.project}, ${plural(group.count, "event")}) ${new URL(`errors/${group.id}`, root).href}`);
  return copy(lines.join("\n"), plural(lines.length, "issue"));
}
