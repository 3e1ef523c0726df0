/** Numbers, durations and times as the pages show them. Everything here is pure. */

/** A narrow no-break space: keeps a number and its unit together. */
export const THIN = "\u202f";
/** What stands for a value nobody knows. Never 0. */
export const UNKNOWN = "–";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;

const grouped = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });

/** `1,204` in full up to 99,999, then `120 k`, `1.2 M`, `3.4 G`. */
export function count(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return UNKNOWN;
  if (Math.abs(value) < 100_000) return grouped.format(value);
  return scaled(value);
}

/** Three significant digits with a factor: `0.043`, `46.5`, `1.2 k`, `3.45 M`. */
export function scaled(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return UNKNOWN;
  const size = Math.abs(value);
  for (const [limit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    // 999,500 rounds to 1,000 k, which is written 1 M.
    if (size >= limit * 0.9995) return significant(value / limit) + THIN + letter;
  }
  return significant(value);
}

/** A number with three significant digits and no trailing zeros; tiny values in powers of ten. */
export function significant(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) < 1e-4) return value.toExponential(1).replace("e-", "e−");
  const text = value.toPrecision(3);
  const plain = text.includes("e") ? String(Math.round(value)) : text;
  return (plain.includes(".") ? plain.replace(/\.?0+$/, "") : plain).replace("-", "−");
}

/** The stretch of time a rate is said in. */
export interface RateScale {
  /** Seconds in it. */
  factor: number;
  unit: "/s" | "/min" | "/h";
}

/** By the second; below 0.1 a second by the minute, and below 0.1 a minute by the hour. */
export function rateScale(perSecond: number | null | undefined): RateScale {
  const size = Math.abs(perSecond ?? 0);
  if (size === 0 || size >= 0.1) return { factor: 1, unit: "/s" };
  return size * 60 >= 0.1 ? { factor: 60, unit: "/min" } : { factor: 3600, unit: "/h" };
}

/** The number of a rate in a stretch of time, never in powers of ten: several rates of one chart have the same unit. */
export function rateNumber(perSecond: number | null | undefined, { factor }: RateScale): string {
  if (perSecond == null) return UNKNOWN;
  const value = perSecond * factor;
  return value > 0 && value < 0.001 ? "<0.001" : scaled(value);
}

/** A rate with the unit that suits it: `1.2 k/s`, `2.74/min`, `0.216/h`. */
export function perTime(perSecond: number | null | undefined): string {
  const scale = rateScale(perSecond);
  const number = rateNumber(perSecond, scale);
  return number === UNKNOWN ? number : number + scale.unit;
}

/** A share between 0 and 1 as a percentage: one digit below ten, none above. */
export function percent(share: number | null | undefined): string {
  if (share == null || !Number.isFinite(share)) return UNKNOWN;
  const value = share * 100;
  const digits = Math.abs(value) < 9.95 && value !== 0 ? 1 : 0;
  return value.toFixed(digits) + THIN + "%";
}

/** What a metric's values are measured in. `ratio` has no unit, `count` counts things. */
export type Unit = "seconds" | "ms" | "bytes" | "ratio" | "count" | "plain";

/** Reads the unit from a metric's name, by the naming rules of Prometheus and of web vitals. */
export function unitOf(name: string): Unit {
  if (/_cls$/.test(name)) return "ratio";
  if (/(_seconds|_duration|_latency|_secs)(_sum)?$/.test(name)) return "seconds";
  if (/(_ms|_milliseconds|_lcp|_inp|_fcp|_ttfb|_fid)$/.test(name)) return "ms";
  if (/_bytes(_total)?$/.test(name)) return "bytes";
  if (/(_ratio|_share)$/.test(name)) return "ratio";
  if (/(_total|_count)$/.test(name)) return "count";
  return "plain";
}

/** A value with its unit, split so that a page can set the unit smaller. */
export function parts(value: number | null | undefined, unit: Unit): { number: string; unit: string } {
  if (value == null || !Number.isFinite(value)) return { number: UNKNOWN, unit: "" };
  switch (unit) {
    case "seconds":
      return milliseconds(value * 1000);
    case "ms":
      return milliseconds(value);
    case "bytes":
      return bytes(value);
    case "ratio":
      return { number: Math.abs(value) >= 10 ? significant(value) : trim(value.toFixed(3)), unit: "" };
    case "count":
      return { number: Number.isInteger(value) ? count(value) : scaled(value), unit: "" };
    case "plain":
      return { number: scaled(value), unit: "" };
  }
}

/** A value with its unit as one text: `412 ms`, `2.31 s`, `4.9 MB`. */
export function quantity(value: number | null | undefined, unit: Unit): string {
  const { number, unit: name } = parts(value, unit);
  return name ? number + THIN + name : number;
}

function milliseconds(value: number): { number: string; unit: string } {
  const size = Math.abs(value);
  if (size === 0) return { number: "0", unit: "ms" };
  if (size < 0.9995) return { number: significant(value * 1000), unit: "µs" };
  if (size < 999.5) return { number: significant(value), unit: "ms" };
  if (size < 100 * SECOND) return { number: (value / SECOND).toFixed(size < 9995 ? 2 : 1), unit: "s" };
  if (size < 100 * MINUTE) return { number: significant(value / MINUTE), unit: "min" };
  return { number: significant(value / HOUR), unit: "h" };
}

function bytes(value: number): { number: string; unit: string } {
  const size = Math.abs(value);
  for (const [limit, name] of [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]] as const) {
    if (size >= limit * 0.9995) return { number: significant(value / limit), unit: name };
  }
  return { number: significant(value), unit: "B" };
}

function trim(text: string): string {
  return text.replace(/\.?0+$/, "") || "0";
}

/** A length of time in one unit: `38 s`, `14 min`, `3 h`, `19 d`, `6 w`, `7 mo`, `2 y`. */
export function age(ms: number): string {
  const span = Math.max(0, ms);
  const unit = (size: number, name: string) => Math.floor(span / size) + THIN + name;
  if (span < MINUTE) return unit(SECOND, "s");
  if (span < HOUR) return unit(MINUTE, "min");
  if (span < DAY) return unit(HOUR, "h");
  if (span < 4 * WEEK) return unit(DAY, "d");
  if (span < 9 * WEEK) return unit(WEEK, "w");
  if (span < 730 * DAY) return unit(30.44 * DAY, "mo");
  return unit(365.25 * DAY, "y");
}

/** Relative within a week (`38 s`, `3 h`), else the date: what a column "last seen" shows. */
export function since(time: Date, now: Date): string {
  const span = now.getTime() - time.getTime();
  return span < WEEK ? age(span) : dayTime(time, now);
}

/** `3 Nov 09:12`, with the year when it is not this one. */
export function dayTime(time: Date, now: Date): string {
  const year = time.getFullYear() === now.getFullYear() ? "" : ` ${time.getFullYear()}`;
  return `${day(time)}${year} ${clock(time)}`;
}

/** `3 Nov`. */
export function day(time: Date): string {
  return `${time.getDate()} ${MONTHS[time.getMonth()]}`;
}

/** `Sun 22`: a day on an axis. */
export function weekday(time: Date): string {
  return `${DAYS[time.getDay()]} ${time.getDate()}`;
}

/** `14:31`. */
export function clock(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** `14:31:22`. */
export function clockSeconds(time: Date): string {
  return `${clock(time)}:${two(time.getSeconds())}`;
}

/** `.902`: the milliseconds of a log line, shown smaller than the rest. */
export function clockFraction(time: Date): string {
  return `.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** The whole truth about a moment, for tool tips: local time with offset, then UTC. */
export function fullTime(time: Date): string {
  const minutes = -time.getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const offset = `${sign}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  const local = `${time.getDate()} ${MONTHS[time.getMonth()]} ${time.getFullYear()} ${clockSeconds(time)}${clockFraction(time)}`;
  return `${local} ${offset}\n${time.toISOString()}`;
}

/** The zone in which the pages show times. */
export function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "the browser's zone";
}

/** `1 line`, `2 lines`. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
export const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

function two(value: number): string {
  return String(value).padStart(2, "0");
}
