/** One issue as Markdown. */
import { plural } from "@kit/format";
import { root } from "@kit/url";
import type { GroupDetail, Occurrence } from "./api";
import { framesText, readSymbolication, symbolicate } from "./symbolication";

/** An issue for a ticket or a chat. */
export function markdown(group: GroupDetail, occurrence: Occurrence | undefined): string {
  const reported = occurrence?.traceback || group.traceback;
  const known = readSymbolication(occurrence?.extra)?.frames ?? [];
  const traceback = (known.length > 0 ? framesText(symbolicate(reported, known)) : reported).trimEnd();
  const fence = "`".repeat(Math.max(3, ...[...traceback.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return [
    `### ${group.exception_type}: ${group.message.split("\n", 1)[0]}`,
    "",
    `${group.project}, ${plural(group.count, "event")}, first ${group.first_seen}, last ${group.last_seen}`,
    ...(occurrence?.request_url ? [`${occurrence.request_method ?? ""} ${occurrence.request_url}`.trim()] : []),
    new URL(`errors/${group.id}`, root).href,
    ...(traceback ? ["", fence, traceback, fence] : []),
    "",
  ].join("\n");
}
