// The commands: what is done with each bundle, and what is said about it.

import { type Bundle, findBuild, readText, replaceFile, urlOf } from "./files.ts";
import { debugIdOf, inject, parseMap, Refused } from "./inject.ts";
import type { Options } from "./options.ts";
import { Rejected, Relay, Unusable } from "./relay.ts";

/** Maps on their way at once; each is in memory meanwhile. */
const PARALLEL = 4;

/** Where lines go. */
export interface Output {
  /** What was done. */
  say: (line: string) => void;
  /** What was not. */
  complain: (line: string) => void;
}

/** A bundle with a map that can be used. */
interface Ready {
  bundle: Bundle;
  map: string;
}

function size(bytes: number): string {
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** File names come from a build, which may hold anything; a terminal must not obey them. */
function shown(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}

/** Does what the options say; answers whether all went well. */
export async function run(options: Options, { say, complain }: Output): Promise<boolean> {
  const build = await findBuild(options.paths);
  let faults = 0;
  const refuse = (path: string, why: string): void => {
    faults++;
    complain(`refused      ${shown(path)}: ${shown(why)}`);
  };
  const without = (line: string): void => {
    if (options.strict) faults++;
    (options.strict ? complain : say)(line);
  };

  const ready: Ready[] = [];
  const owners = new Map<string, string>();
  for (const bundle of build.bundles) {
    if (bundle.refused !== undefined) refuse(bundle.path, bundle.refused);
    else if (bundle.map === undefined) without(`no map       ${shown(bundle.path)}: ${shown(bundle.without ?? "")}`);
    else if (await prepare(bundle, bundle.map)) ready.push({ bundle, map: bundle.map });
  }
  for (const orphan of build.orphans) without(`no bundle    ${shown(orphan)}: a map that no bundle names`);

  /** Without debug ids, of two maps for one URL the relay keeps the one that comes last. */
  function takeUrl({ path, urlPath }: Bundle): void {
    const url = urlOf(options.urlPrefix, urlPath);
    const other = owners.get(url);
    if (other !== undefined) {
      throw new Refused(`would be at ${url} like ${other}: upload their folders one by one, each with its --url-prefix`);
    }
    owners.set(url, path);
  }

  /** Injects where that is wanted; answers whether the pair can be used. */
  async function prepare(bundle: Bundle, mapPath: string): Promise<boolean> {
    try {
      const [code, map] = [await readText(bundle.path), await readText(mapPath)];
      if (!options.inject) {
        if (debugIdOf(parseMap(map)) === undefined) takeUrl(bundle);
        return true;
      }
      const injected = inject(code, map);
      const would = options.dryRun ? "would inject" : "injected    ";
      if (injected.changed && !options.dryRun) {
        await replaceFile(mapPath, injected.map);
        await replaceFile(bundle.path, injected.code);
      }
      say(`${injected.changed ? would : "unchanged   "} ${shown(bundle.path)}: debug id ${injected.id}`);
      return true;
    } catch (fault) {
      if (!(fault instanceof Refused)) throw fault;
      refuse(bundle.path, fault.message);
      return false;
    }
  }

  if (ready.length === 0) {
    complain(`There is no bundle with a map to work on in ${shown(options.paths.join(", "))}.`);
    return false;
  }
  if (options.command === "inject") return faults === 0;
  const uploaded = await uploadAll(options, ready, { say, complain });
  return uploaded && faults === 0;
}

async function uploadAll(options: Options, ready: Ready[], { say, complain }: Output): Promise<boolean> {
  const { url, key, project, release, urlPrefix, dryRun } = options;
  const onRetry = (what: string, waitMs: number): void => complain(`waiting      ${(waitMs / 1000).toFixed(1)} s: ${what}`);
  const relay = new Relay({ url, key, onRetry });
  const waiting = [...ready];
  let uploaded = 0;
  let refused = 0;
  let stopped = "";

  const next = async ({ bundle, map }: Ready): Promise<void> => {
    const fileUrl = urlOf(urlPrefix, bundle.urlPath);
    if (dryRun) {
      say(`would upload ${shown(map)} as ${fileUrl}`);
      return;
    }
    try {
      const parsed = parseMap(await readText(map));
      const text = JSON.stringify(parsed);
      const upload = { project, release, file_url: fileUrl, map_content: text, debug_id: debugIdOf(parsed) };
      const sent = await relay.upload(upload);
      uploaded++;
      const share = `${uploaded + refused} of ${ready.length}`;
      say(`uploaded     ${shown(map)} as ${fileUrl} (${size(Buffer.byteLength(text))}, ${size(sent)} sent; ${share})`);
    } catch (fault) {
      if (!(fault instanceof Rejected)) throw fault;
      refused++;
      complain(`refused      ${shown(map)}: ${fault.message}`);
    }
  };
  const work = async (): Promise<void> => {
    for (let pair = waiting.shift(); pair && !stopped; pair = waiting.shift()) {
      try {
        await next(pair);
      } catch (fault) {
        if (!(fault instanceof Unusable)) throw fault;
        if (!stopped) complain(`failed       ${shown(pair.map)}: ${fault.message}`);
        stopped = fault.message;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  if (dryRun) return true;

  const of = `${project}${release === undefined ? "" : `, release ${release}`}`;
  const left = ready.length - uploaded - refused;
  const parts = [`${uploaded} uploaded`, refused && `${refused} refused`, left && `${left} not uploaded`];
  (left || refused ? complain : say)(`${shown(of)}: ${parts.filter(Boolean).join(", ")}.`);
  return left === 0 && refused === 0;
}
