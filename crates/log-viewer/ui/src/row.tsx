/** One line, closed and open. */
import type { ComponentChildren } from "preact";
import { clockFraction, clockSeconds, fullTime, plural } from "@kit/format";
import { lazy } from "@kit/lazy";
import { Marked } from "@kit/text";
import { type Line, timeOf } from "./api";
import { levelOf } from "./levels";
import { type Message, parseMessage, piecesFor } from "./message";

const LineDetail = lazy<{ line: Line; message: Message }>("LineDetail");
const parsed = new WeakMap<Line, Message>();

/** A line is read once, however often it is drawn. */
function messageOf(line: Line): Message {
  let message = parsed.get(line);
  if (!message) {
    message = parseMessage(line.message);
    parsed.set(line, message);
  }
  return message;
}

interface Props {
  line: Line;
  open: boolean;
  at: boolean;
  tabIndex: 0 | -1;
  pattern: RegExp | null;
  onToggle: () => void;
  onFocus: () => void;
}

export function LogRow({ line, open, at, tabIndex, pattern, onToggle, onFocus }: Props) {
  const level = levelOf(line.level);
  const message = messageOf(line);
  const time = new Date(timeOf(line));
  return (
    <li class={`log ${level.class}${open ? " open" : ""}`} data-row={line.id} data-cursor={at || undefined}>
      <button class="log-line" type="button" data-focus tabIndex={tabIndex} aria-expanded={open} onClick={onToggle} onFocus={onFocus}>
        <i class="tick" />
        <time class="log-time" dateTime={line.time ?? line.timestamp} title={fullTime(time)}>
          {clockSeconds(time)}
          <span>{clockFraction(time)}</span>
        </time>
        <span class="log-level">{level.short}</span>
        <span class="log-box cut" title={line.container}>
          {line.container}
        </span>
        <span class="log-msg">
          <Pieces message={message} pattern={pattern} />
        </span>
        {message.more > 0 && !open && <span class="badge log-more">+{plural(message.more, "line")}</span>}
      </button>
      {open && <LineDetail line={line} message={message} />}
    </li>
  );
}

function Pieces({ message, pattern }: { message: Message; pattern: RegExp | null }): ComponentChildren {
  return (
    <>
      {piecesFor(message, pattern).map((piece, at) =>
        piece.class ? (
          <span key={at} class={piece.class}>
            <Marked text={piece.text} pattern={pattern} />
          </span>
        ) : (
          <Marked key={at} text={piece.text} pattern={pattern} />
        ),
      )}
    </>
  );
}
