/** What opens below a line: the rest of it, its fields as filters, and ways on. */
import { useEffect, useRef } from "preact/hooks";
import { copy } from "@kit/dom";
import { fullTime } from "@kit/format";
import { Icon } from "@kit/icons";
import { Hostile, Marked } from "@kit/text";
import { href, param, place, root, setParams, withQuery } from "@kit/url";
import { type Line, timeOf } from "./api";
import { pattern } from "./lines";
import { levelOf } from "./levels";
import { type Message, plain } from "./message";

/** The minute around a line, as a range for the URL. */
function around(line: Line): string {
  const at = timeOf(line);
  return `${new Date(at - 60_000).toISOString()}..${new Date(at + 60_000).toISOString()}`;
}

export function LineDetail({ line, message }: { line: Line; message: Message }) {
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
    </div>
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
        <Field key={name} name={name} value={value} title="Search for this value" onClick={() => setParams({ q: addTerm(param("q"), value) })} />
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
