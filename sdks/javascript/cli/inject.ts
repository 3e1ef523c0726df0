// Debug ids: a bundle and its map get the same id, so that the relay finds the map of an error whatever the release, the
// host or the path of the bundle.
//
// The bundle gets two things. A comment, `//# debugId=<id>`, for people and other tools. And a line of code at the very
// beginning that notes the id under a stack trace of that moment, whose topmost frame is the bundle itself; the SDK reads
// these notes. The line is one of its own, so every mapping moves down by one line and no column changes.

import { createHash } from "node:crypto";
import { beginning, isStrict, trailingComment } from "./comments.ts";

/** Why a bundle cannot be worked on, in words for people. */
export class Refused extends Error {}

/** A bundle and its map with an id in both. */
export interface Injected {
  id: string;
  code: string;
  map: string;
  /** False when both had all of it before. */
  changed: boolean;
}

const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/;
const REGISTRY = "_monlightDebugIds";

/** The parts of a map that matter here. */
interface SourceMap {
  version: number;
  mappings?: string;
  /** Like `mappings`, a group for each line (a proposal to ECMA-426). */
  rangeMappings?: string;
  sections?: { offset: { line: number; column: number }; map: SourceMap }[];
  debug_id?: unknown;
  debugId?: unknown;
}

/** Runs in every browser that has `Error.stack`; in others, and whatever else goes wrong, it does nothing. */
function snippet(id: string, strict: boolean): string {
  const code =
    `!function(){try{var g="undefined"!=typeof globalThis?globalThis:self,s=(new Error).stack;` +
    `s&&((g.${REGISTRY}=g.${REGISTRY}||{})[s]="${id}")}catch(e){}}();\n`;
  // In front of a directive it would be none any more, and the whole bundle sloppy.
  return (strict ? `"use strict";` : "") + code;
}

/** A UUID of version 8 (RFC 9562) of what the build made: the same build has the same id on every machine. */
function idOf(code: string, map: string): string {
  const hash = createHash("sha256").update(code).update("\0").update(map).digest();
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Reads a map; the guard some servers put in front of JSON is passed over. */
export function parseMap(text: string): SourceMap {
  let map: SourceMap | null = null;
  try {
    map = JSON.parse(text.replace(/^\uFEFF?(?:\)\]\}'[^\n]*\n)?/, ""));
  } catch (fault) {
    throw new Refused(`its map is no JSON: ${(fault as Error).message}`);
  }
  if (Object(map).version !== 3) throw new Refused("its map is no source map of version 3");
  if (!isMap(map!)) throw new Refused("its map has neither mappings nor well-formed sections");
  return map!;
}

function isMap(map: SourceMap): boolean {
  if (!Array.isArray(map.sections)) return typeof map.mappings === "string";
  return map.sections.every((section) => {
    const line = section?.offset?.line;
    return Number.isInteger(line) && line >= 0 && Object(section.map) === section.map && isMap(section.map);
  });
}

/** Makes room for one line of generated code that comes from nowhere. */
function insertLine(map: SourceMap, line: number): void {
  if (map.sections) {
    for (const { offset, map: inner } of map.sections) {
      if (offset.line >= line) offset.line++;
      else insertLine(inner, line - offset.line);
    }
    return;
  }
  for (const key of ["mappings", "rangeMappings"] as const) {
    const lines = map[key];
    if (typeof lines !== "string") continue;
    let at = 0;
    for (let passed = 0; passed < line && at >= 0; passed++) at = lines.indexOf(";", at) + 1 || -1;
    if (at >= 0) map[key] = `${lines.slice(0, at)};${lines.slice(at)}`;
  }
}

function checkedId(id: unknown, where: string): string | undefined {
  if (id === undefined || id === null) return undefined;
  const text = String(id).toLowerCase();
  if (!UUID.test(text)) throw new Refused(`the debug id of ${where} is no UUID`);
  return text;
}

/** The id in a map's text, if it has one. */
export function debugIdOf(map: SourceMap): string | undefined {
  return checkedId(map.debug_id ?? map.debugId, "its map");
}

/**
 * Gives a bundle and its map the same id. What has one already keeps it, also if another tool gave it; a second run
 * changes nothing.
 *
 * @throws Refused when the map is none, or belongs to another build of the bundle.
 */
export function inject(code: string, mapText: string): Injected {
  const map = parseMap(mapText);
  const inCode = checkedId(trailingComment(code, "debugId")?.value, "the bundle");
  const inMap = debugIdOf(map);
  const hasSnippet = inCode !== undefined && code.includes(REGISTRY) && code.includes(`="${inCode}"`);
  // Half of it: then nobody knows whether the lines of the map fit those of the bundle.
  const half = hasSnippet ? inMap === undefined : inMap !== undefined && inCode === undefined;
  if (half || (inCode && inMap && inCode !== inMap)) {
    const said = (id?: string): string => id ?? "none";
    throw new Refused(`its map is of another build (debug id ${said(inMap)}, that of the bundle ${said(inCode)}): build again`);
  }
  if (hasSnippet) return { id: inCode, code, map: mapText, changed: false };

  const id = inCode ?? idOf(code, mapText);
  const at = beginning(code);
  const head = code.slice(0, at);
  const line = head.includes("#!") ? 1 : 0;
  insertLine(map, line);
  map.debug_id = id;
  const first = line && !/[\n\r\u2028\u2029]$/.test(head) ? "\n" : "";
  const commented = inCode ? code : withComment(code, id);
  return {
    id,
    code: head + first + snippet(id, isStrict(code)) + commented.slice(at),
    map: JSON.stringify(map),
    changed: true,
  };
}

/** The comment goes in front of `sourceMappingURL`, which tools expect to be the last line. */
function withComment(code: string, id: string): string {
  const url = trailingComment(code, "sourceMappingURL");
  const ownLine = url && (url.at === 0 || /[\n\r]$/.test(code.slice(0, url.at)));
  const at = ownLine ? url.at : code.length;
  const before = code.slice(0, at);
  return `${before}${before === "" || /[\n\r]$/.test(before) ? "" : "\n"}//# debugId=${id}\n${code.slice(at)}`;
}
