/** Beside the stack: how often, since when, for whom, what was decided, and where else to look. */
import { copy, now } from "@kit/dom";
import { clockSeconds, count, day, dayTime, fullTime } from "@kit/format";
import { Icon, type IconName } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { session } from "@kit/session";
import { Ago, Hostile } from "@kit/text";
import { href, withQuery } from "@kit/url";
import type { GroupDetail, Occurrence } from "./api";
import { byDay, dayOf, DAYS_SHOWN, lifeOf, usersText } from "./history";
import { Note } from "./note";
import { releaseOf, text } from "./occurrence";
import { Spark } from "./spark";

export function Aside({ group, occurrence }: { group: GroupDetail; occurrence: Occurrence | undefined }) {
  return (
    <aside class="detail-side" aria-label="About this issue">
      {group.hourly && <Days group={group} hourly={group.hourly} />}
      <Facts group={group} />
      <Note key={group.id} group={group} />
      <Around occurrence={occurrence} group={group} />
      <History group={group} />
    </aside>
  );
}

/** Marks over the days on which something was decided. */
const MARKS = { resolved: { icon: "check", hue: "green" }, reopened: { icon: "undo", hue: "amber" } } as const;
/** Days that a mark takes. */
const APART = 2;

/** Events a day, with marks where the issue was resolved or came back. */
function Days({ group, hourly }: { group: GroupDetail; hourly: { hour: string; count: number }[] }) {
  const { counts, from } = byDay(hourly, now.value);
  const marks: { at: number; icon: IconName; hue: string; title: string }[] = [];
  for (const { action, text: words, time } of lifeOf(group, now.value)) {
    const mark = MARKS[action as keyof typeof MARKS];
    const at = dayOf(new Date(time), from);
    // The newest of those that would lie on each other stands for them.
    if (mark && at !== null && marks.every((other) => Math.abs(other.at - at) >= APART)) marks.push({ ...mark, at, title: `${words}, ${dayTime(new Date(time), now.value)}` });
  }
  return (
    <section aria-labelledby="days">
      <div class="sec-head">
        <h2 id="days">{DAYS_SHOWN} days</h2>
        <span class="side-n">highest {count(Math.max(...counts))}</span>
      </div>
      <div class={`days${marks.length > 0 ? " marked" : ""}`}>
        <Spark values={counts} unit="day" height={56} />
        {marks.map(({ at, icon, hue, title }) => (
          <span key={at} class={`day-mark ${hue}`} title={title} style={{ left: `${((at + 0.5) / DAYS_SHOWN) * 100}%` }}>
            <Icon name={icon} small />
          </span>
        ))}
      </div>
      <p class="days-ends t3" aria-hidden="true">
        <span>{day(from)}</span>
        <span>Today</span>
      </p>
    </section>
  );
}

function Facts({ group }: { group: GroupDetail }) {
  const [newest] = group.occurrences;
  const first = group.first_occurrence ?? (group.count <= group.occurrences.length ? group.occurrences.at(-1) : null);
  return (
    <dl class="facts">
      <div>
        <dt>Events</dt>
        <dd>
          <b>{count(group.count)}</b>
        </dd>
      </div>
      {group.users !== undefined && (
        <div>
          <dt>Users</dt>
          <dd>
            <b>{usersText(group.users, group.users_exact, count)}</b>
          </dd>
        </div>
      )}
      <Seen name="First seen" time={group.first_seen} release={releaseOf(first)} />
      <Seen name="Last seen" time={group.last_seen} release={releaseOf(newest)} />
      <div>
        <dt>Fingerprint</dt>
        <dd>
          <button class="inline mono cut" type="button" title={`Copy ${group.fingerprint}`} onClick={() => void copy(group.fingerprint, "Fingerprint")}>
            {group.fingerprint.slice(0, 12)}…
          </button>
        </dd>
      </div>
    </dl>
  );
}

function Seen({ name, time, release }: { name: string; time: string; release: string | null }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <Ago time={new Date(time)} suffix=" ago" />
        {release && (
          <span class="t3 mono seen-in">
            <Hostile text={release.slice(0, 80)} />
          </span>
        )}
      </dd>
    </div>
  );
}

/** Ways on: the logs of the minute, the session, the metrics, as far as there is somewhere to go. */
function Around({ group, occurrence }: { group: GroupDetail; occurrence: Occurrence | undefined }) {
  const state = session.value;
  const siblings = state.state === "in" ? state.info.siblings : null;
  const time = new Date(occurrence?.timestamp ?? group.last_seen);
  const sessionId = text(occurrence?.extra, "session_id");
  const near = (seconds: number) => new Date(time.getTime() + seconds * 1000).toISOString();
  const logs = siblings?.logs && `${siblings.logs.replace(/\/?$/, "/")}?range=${near(-60)}..${near(60)}`;
  const metrics = siblings?.metrics && `${siblings.metrics.replace(/\/?$/, "/")}?project=${encodeURIComponent(group.project)}`;
  useKeys("Issue", logs ? { o: { label: "logs around it", run: () => location.assign(logs) } } : {});
  if (!logs && !metrics && !sessionId) return null;
  return (
    <section class="around" aria-labelledby="around">
      <h2 id="around">Around {clockSeconds(time)}</h2>
      {logs && (
        <a href={logs}>
          <Icon name="logs" />
          Logs of these two minutes
        </a>
      )}
      {sessionId && (
        <a href={href("", withQuery("", { session: sessionId, state: "all" }))} data-go>
          <Icon name="user" />
          Issues of this session
        </a>
      )}
      {metrics && (
        <a href={metrics}>
          <Icon name="metrics" />
          Metrics of {group.project}
        </a>
      )}
    </section>
  );
}

function History({ group }: { group: GroupDetail }) {
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      <ol class="activity">
        {lifeOf(group, now.value).map(({ text: words, time }, at) => (
          <li key={at}>
            <span>
              <Hostile text={words} />
            </span>
            <time class="t3" dateTime={time} title={fullTime(new Date(time))}>
              {dayTime(new Date(time), now.value)}
            </time>
          </li>
        ))}
      </ol>
    </section>
  );
}
