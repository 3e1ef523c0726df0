// What the relay says about places of generated code, beside what Mozilla's `source-map` package says.

import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { posix } from "node:path";
import { SourceMapConsumer } from "source-map";

import { ADMIN_KEY } from "../stack.mjs";

const PARALLEL = 16;

/** Pseudo-random whole numbers below a bound, the same in each run (mulberry32). */
export function random(seed) {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** Answers of a relay's `/lookup`, over kept connections. */
export class Lookups {
  #agent = new Agent({ keepAlive: true, maxSockets: PARALLEL });

  constructor(stack) {
    this.base = stack.url("browser-relay", "/api/source-maps");
  }

  close() {
    this.#agent.destroy();
  }

  get(id, line, column) {
    const url = `${this.base}/${id}/lookup?line=${line}&column=${column}`;
    return new Promise((found, failed) => {
      const asked = request(url, { agent: this.#agent, headers: { "X-API-Key": ADMIN_KEY } }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (piece) => (text += piece));
        answer.on("error", failed);
        answer.on("end", () => {
          if (answer.statusCode === 200) found(JSON.parse(text));
          else failed(new Error(`${url}: ${answer.statusCode} ${text}`));
        });
      });
      asked.on("error", failed);
      asked.end();
    });
  }

  /**
   * Asks for all places, from line 1 and column 0 of `map`, and compares; `shift` is by how many lines the map with that
   * id is lower. Answers how many of the places come from a source.
   */
  async compare(id, map, places, shift = 0) {
    const consumer = await new SourceMapConsumer(map);
    const waiting = places.values();
    let mapped = 0;
    const work = async () => {
      for (const { line, column } of waiting) {
        const expected = consumer.originalPositionFor({ line, column });
        const found = await this.get(id, line + shift, column + 1);
        if (expected.source !== null) mapped += 1;
        assert.deepEqual(asMozilla(found), expected, `line ${line}, column ${column} of map ${id}: ${JSON.stringify(found)}`);
      }
    };
    try {
      await Promise.all(Array.from({ length: PARALLEL }, work));
    } finally {
      consumer.destroy();
    }
    return mapped;
  }
}

/** The relay's answer in the words of the package, which counts columns from 0 and resolves dots in paths. */
function asMozilla({ file, line, column, name, reason }) {
  if (reason !== undefined) return { source: null, line: null, column: null, name: null };
  const source = /^[a-z][\w+.-]*:\//i.test(file) ? new URL(file).href : posix.normalize(file);
  return { source, line, column: column - 1, name: name ?? null };
}

/** Where mappings begin: all of them, or `most` taken at random. */
export async function mappedPlaces(map, most, below) {
  const places = [];
  await SourceMapConsumer.with(map, null, (consumer) =>
    consumer.eachMapping(({ generatedLine, generatedColumn }) => places.push({ line: generatedLine, column: generatedColumn })),
  );
  if (places.length <= most) return places;
  return Array.from({ length: most }, () => places[below(places.length)]);
}

/** Places anywhere in a text, also a little beyond its lines and its end. */
export function anyPlaces(code, count, below) {
  const lengths = code.split("\n").map((line) => line.length);
  const ends = [];
  lengths.reduce((sum, length, index) => (ends[index] = sum + length + 1), 0);
  return Array.from({ length: count }, () => {
    // Long lines are what matters, so they are taken as often as they are long.
    const at = below(ends.at(-1));
    const index = below(20) === 0 ? below(lengths.length + 2) : ends.findIndex((end) => at < end);
    return { line: index + 1, column: below((lengths[index] ?? 0) + 3) };
  });
}
