/** The stack of an occurrence: the failing line first, libraries folded. */
import { useSignal } from "@preact/signals";
import { copy } from "@kit/dom";
import { plural } from "@kit/format";
import { Icon } from "@kit/icons";
import { useKeys } from "@kit/keys";
import { Hostile } from "@kit/text";
import { param, setParams } from "@kit/url";
import { placeText, symbolicate, type Symbolication } from "./symbolication";
import { foldFrames, type Frame, type Raised, type Row, shortFile } from "./traceback";

export function Stack({ traceback, symbolication }: { traceback: string; symbolication: Symbolication | null }) {
  const raised = symbolicate(traceback, symbolication?.frames ?? []);
  const asText = raised.length === 0 || param("stack") === "text";
  const show = (view: string | null) => setParams({ stack: view }, true);
  useKeys("Issue", {
    "1": { run: () => (raised.length > 0 ? show(null) : false) },
    "2": { run: () => (raised.length > 0 ? show("text") : false) },
  });
  return (
    <section aria-labelledby="stack">
      <div class="sec-head">
        <h2 id="stack">Stack</h2>
        {raised.length > 0 ? (
          <div class="seg" role="group" aria-label="Stack view">
            <button type="button" aria-pressed={!asText} title="Frames  1" onClick={() => show(null)}>
              Frames
            </button>
            <button type="button" aria-pressed={asText} title="Text  2" onClick={() => show("text")}>
              Text
            </button>
          </div>
        ) : (
          traceback && <span class="t3">No frames were recognised in it.</span>
        )}
        {traceback && (
          <button class={`btn quiet mini${raised.length > 0 ? "" : " end"}`} type="button" onClick={() => void copy(traceback, "Traceback")}>
            <Icon name="copy" small />
            Copy
          </button>
        )}
      </div>
      {symbolication?.reason && <p class="t3 stack-note">Not mapped to the source: {symbolication.reason}.</p>}
      {!traceback && raised.length === 0 && <p class="t3">The report came without a traceback.</p>}
      {traceback && asText && (
        <pre class="code boxed tall-code" tabIndex={0} aria-label="Traceback">
          <code>
            <Hostile text={traceback} />
          </code>
        </pre>
      )}
      {!asText && raised.map((exception, at) => <Exception key={at} raised={exception} first={at === 0} link={raised[at - 1] ? exception.link : null} />)}
    </section>
  );
}

function Exception({ raised, first, link }: { raised: Raised; first: boolean; link: string | null }) {
  const rows = foldFrames(raised.frames);
  const failing = first ? (raised.frames.find(({ lib }) => !lib) ?? raised.frames[0]) : null;
  return (
    <>
      {link && (
        <p class="caused">
          <span class="t3">{link}</span>{" "}
          <b class="mono">
            <Hostile text={raised.title} />
          </b>
        </p>
      )}
      <ol class="frames">
        {rows.map((row, at) =>
          row.kind === "lib" ? <LibraryRow key={at} row={row} /> : <FrameRow key={at} frame={row.frame} failing={row.frame === failing} />,
        )}
      </ol>
    </>
  );
}

function FrameRow({ frame, failing = false }: { frame: Frame; failing?: boolean }) {
  return (
    <li class="frame">
      <div class="frame-head">
        <b class="mono">
          <Hostile text={frame.fn} />
        </b>
        <span class="mono cut t2" title={frame.file}>
          <Hostile text={shortFile(frame.file)} />
          <span class="t3">
            :{frame.line}
            {frame.column !== null && `:${frame.column}`}
          </span>
        </span>
        {frame.minified && (
          <span class="mono cut t3 frame-note" title={`Minified: ${frame.minified.fn} at ${frame.minified.file}:${frame.minified.line}:${frame.minified.column}`}>
            <Hostile text={placeText(frame.minified)} />
          </span>
        )}
        {frame.unmapped && (
          <span class="t3 frame-note">
            not mapped: <Hostile text={frame.unmapped} />
          </span>
        )}
      </div>
      {frame.code !== null && <Source frame={frame} code={frame.code} failing={failing} />}
    </li>
  );
}

function Source({ frame, code, failing }: { frame: Frame; code: string; failing: boolean }) {
  const [from, to] = frame.mark ?? [0, 0];
  const { line, before = [], after = [] } = frame;
  return (
    <pre class="code" tabIndex={0} aria-label={`Source, line ${line}`}>
      <code>
        {before.map((text, at) => (
          <>
            <SourceLine line={line - before.length + at} text={text} />
            {"\n"}
          </>
        ))}
        <span class={`src ${failing ? "fail" : "call"}`}>
          <span class="ln-no">{line}</span>
          <Hostile text={code.slice(0, from)} />
          {to > from && (
            <span class={failing ? "here" : "via"}>
              <Hostile text={code.slice(from, to)} />
            </span>
          )}
          <Hostile text={code.slice(to)} />
        </span>
        {after.map((text, at) => (
          <>
            {"\n"}
            <SourceLine line={line + 1 + at} text={text} />
          </>
        ))}
      </code>
    </pre>
  );
}

/** A line beside the one of the frame. */
function SourceLine({ line, text }: { line: number; text: string }) {
  return (
    <span class="src">
      <span class="ln-no">{line}</span>
      <Hostile text={text} />
    </span>
  );
}

function LibraryRow({ row }: { row: Extract<Row, { kind: "lib" }> }) {
  const open = useSignal(false);
  const names = row.frames.map(({ fn }) => fn).slice(0, 4);
  return (
    <>
      <li class="frame lib">
        <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          <Icon name={open.value ? "down" : "right"} small />
          <span>
            {plural(row.frames.length, "frame")} in <span class="mono">{row.of}</span>
          </span>
          <span class="t3 cut">
            {names.join(", ")}
            {row.frames.length > names.length && " …"}
          </span>
        </button>
      </li>
      {open.value && row.frames.map((frame, at) => <FrameRow key={at} frame={frame} />)}
    </>
  );
}
