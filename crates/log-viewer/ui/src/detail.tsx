/** What opens below a line: the rest of it, its fields as filters, and ways on. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Fault } from "@kit/api";
import { copy } from "@kit/dom";
import { clockFraction, clockSeconds, fullTime } from "@kit/format";
import { Icon } from "@kit/icons";
import { Hostile, Marked } from "@kit/text";
import { href, param, place, root, setParams, withQuery } from "@kit/url";
import { type Context, getContext, type Line, timeOf } from "./api";
import { pattern } from "./lines";
import { levelOf } from "./levels";
import { type Message, plain } from "./message";

/** The minute around a line, as a range for the URL. */
function around(line: Line): string {
  const at = timeOf(line);
  return `${new Date(at - 60_000).toISOString()}..${new Date(at + 60_000).toISOString()}`;
}

/** Lines before and after that are shown at once. */
const NEAR = 20;

export function LineDetail({ line, message }: { line: Line; message: Message }) {
  const near = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  // All of what has just opened should be seen.
  useEffect(() => box.current?.closest(".log")?.scrollIntoView({ block: "nearest" }), []);
  const text = plain(line.message);
  const link = new URL(href("", withQuery(place.value.query, { range: around(line), line: String(line.id) })), root).href;
  return (
    <div class="log-detail" ref={box}>
      <div class="log-actions">
        <button class="btn mini" type="button" onClick={() => void copy(text, "Message")}>
          <Icon name="copy" small />
          Copy
        </button>
        <button class="btn mini" type="button" onClick={() => void copy(JSON.stringify(line, null, 2), "JSON")}>
          <Icon name="code" small />
          JSON
        </button>
        <button class="btn mini" type="button" onClick={() => void copy(link, "Link")}>
          <Icon name="link" small />
          Link
        </button>
        <button class="btn mini" type="button" aria-pressed={near.value} title={`The ${NEAR} lines before and after, without filters`} onClick={() => (near.value = !near.peek())}>
          <Icon name="logs" small />
          Context
        </button>
        <button
          class="btn mini"
          type="button"
          title="All lines of the minute before and after, without filters"
          onClick={() => setParams({ range: around(line), line: String(line.id), q: null, level: null, container: null, mode: null })}
        >
          <Icon name="view" small />
          Around it
        </button>
      </div>
      <pre class="log-full" tabIndex={0} aria-label="The whole message">
        <code>
          <Marked text={text} pattern={pattern.value} />
        </code>
      </pre>
      <Fields line={line} message={message} />
      {near.value && <Near line={line} />}
    </div>
  );
}

/** What stood around a line, in its container or in all. */
function Near({ line }: { line: Line }) {
  const found = useSignal<Context | string | null>(null);
  const all = useSignal(false);
  useEffect(() => {
    let asked = true;
    getContext(line.id, all.value ? "" : line.container, NEAR).then(
      ({ data }) => asked && (found.value = data),
      (reason: unknown) => asked && (found.value = reason instanceof Fault ? reason.detail : String(reason)),
    );
    return () => void (asked = false);
  }, [line.id, all.value]);
  const context = found.value;
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    toMiddle(box.current?.querySelector("ol"));
    if (context) box.current?.scrollIntoView({ block: "nearest" });
  }, [context]);
  return (
    <section class="log-near" aria-label="Context" ref={box}>
      <div class="seg" role="group" aria-label="Containers">
        <button type="button" aria-pressed={!all.value} onClick={() => (all.value = false)}>
          {line.container}
        </button>
        <button type="button" aria-pressed={all.value} onClick={() => (all.value = true)}>
          All containers
        </button>
      </div>
      {typeof context === "string" && <p role="alert">{context}</p>}
      {context !== null && typeof context !== "string" && (
        <ol tabIndex={0} aria-label={`${context.before.length} lines before, ${context.after.length} after`}>
          {[...context.before, context.entry, ...context.after].map((each) => (
            <NearLine key={each.id} line={each} at={each.id === line.id} box={all.value} />
          ))}
        </ol>
      )}
    </section>
  );
}

/** The line itself should be seen first. */
function toMiddle(list: HTMLOListElement | null | undefined): void {
  const own = list?.querySelector<HTMLElement>("[aria-current]");
  if (list && own) list.scrollTop = own.offsetTop - list.offsetTop - (list.clientHeight - own.offsetHeight) / 2;
}

function NearLine({ line, at, box }: { line: Line; at: boolean; box: boolean }) {
  const time = new Date(timeOf(line));
  const level = levelOf(line.level);
  return (
    <li class={level.class} aria-current={at || undefined}>
      <time dateTime={line.time ?? line.timestamp}>
        {clockSeconds(time)}
        <span>{clockFraction(time)}</span>
      </time>
      <span class="log-level">{level.short}</span>
      {box && <span class="log-box cut">{line.container}</span>}
      <code>
        <Marked text={plain(line.message)} pattern={pattern.value} />
      </code>
    </li>
  );
}

function Fields({ line, message }: { line: Line; message: Message }) {
  const time = new Date(timeOf(line));
  const lines = line.message.trimEnd().split("\n").length;
  return (
    <dl class="log-fields">
      <Field name="Time" value={fullTime(time).split("\n", 1)[0]!} title="Copy" onClick={() => void copy(line.time ?? line.timestamp, "Time")} />
      <Field name="Container" value={line.container} title="Only this container" onClick={() => setParams({ container: line.container })} />
      <Field name="Level" value={levelOf(line.level).name} title="Only this level" onClick={() => setParams({ level: line.level })} />
      <Field name="Stream" value={line.stream} />
      {message.fields.slice(0, 20).map(([name, value]) => (
        <Field key={name} name={name} value={value} title={isField(name, value) ? "Only lines with this field" : "Search for this value"} onClick={() => setParams({ q: addField(param("q"), name, value) })} />
      ))}
      {lines > 1 && <Field name="Lines" value={String(lines)} />}
    </dl>
  );
}

/** A search text with a value added as a phrase. */
export function addTerm(search: string, value: string): string {
  const phrase = `"${value.replaceAll('"', " ").trim()}"`;
  return search.includes(phrase) ? search : `${search} ${phrase}`.trim();
}

/** Whether the service can tell that a line has this field: its name can be typed, and its value is one. */
function isField(name: string, value: string): boolean {
  return /^[\p{L}_@][\p{L}\p{N}_@.-]{0,63}$/u.test(name) && value.length <= 128 && /[\p{L}\p{N}]/u.test(value) && !/^[[{]/.test(value);
}

/** A search text with a field added, or, where that cannot be asked for, its value. */
export function addField(search: string, name: string, value: string): string {
  if (!isField(name, value)) return addTerm(search, value);
  const bare = /^[\p{L}\p{N}_.-]*[\p{L}\p{N}_]$/u.test(value) ? value : `"${value.replaceAll('"', " ").trim()}"`;
  const term = `${name}:${bare}`;
  return ` ${search} `.includes(` ${term} `) ? search : `${search} ${term}`.trim();
}

interface FieldProps {
  name: string;
  value: string;
  title?: string;
  onClick?: () => void;
}

function Field({ name, value, title, onClick }: FieldProps) {
  return (
    <div>
      <dt class="cut" title={name}>
        {name}
      </dt>
      <dd>
        {onClick ? (
          <button type="button" title={title} onClick={onClick}>
            <Hostile text={value} />
          </button>
        ) : (
          <span class="plain">
            <Hostile text={value} />
          </span>
        )}
      </dd>
    </div>
  );
}
