// Finds the bundles of a build and the map of each.

import { lstat, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { trailingComment } from "./comments.ts";
import { Refused } from "./inject.ts";

/** A bundle, and where its map is or why there is none. */
export interface Bundle {
  /** As the files were named on the command line, for messages. */
  path: string;
  /** The path below the folder that was named, with slashes, as in a URL. */
  urlPath: string;
  /** Path of its map. */
  map?: string;
  /** Why it cannot be used. */
  refused?: string;
  /** Why it has no map, which may be what was wanted. */
  without?: string;
}

/** What a build consists of. */
export interface Build {
  bundles: Bundle[];
  /** Maps of JavaScript that belong to no bundle. */
  orphans: string[];
}

const SCRIPT = /\.[cm]?js$/;
const MAP = /\.[cm]?js\.map$/;

/** All files below a path, itself if it is one, sorted; `node_modules` and links to folders are passed over. */
async function filesBelow(path: string): Promise<string[]> {
  if ((await stat(path)).isFile()) return [path];
  const found: string[] = [];
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const name = join(folder, entry.name);
      if (entry.isDirectory() && entry.name !== "node_modules") folders.push(name);
      else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(name)))) found.push(name);
    }
  }
  return found.sort();
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** Reads a text. A file that is no UTF-8 would come out changed when it is written back. */
export async function readText(path: string): Promise<string> {
  const bytes = await readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused(`${basename(path)} is not UTF-8`);
  }
}

/** Replaces a file as a whole: whoever serves it meanwhile sees the old text or the new one. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    await writeFile(temporary, text, { mode: (await lstat(path)).mode });
    await rename(temporary, path);
  } catch (fault) {
    await rm(temporary, { force: true });
    throw fault;
  }
}

/** Finds the bundles below the given files and folders. Throws when one of these is not there. */
export async function findBuild(paths: string[]): Promise<Build> {
  const bundles = new Map<string, Bundle>();
  const maps = new Map<string, string>();
  for (const path of paths) {
    const isFolder = (await stat(path)).isDirectory();
    for (const file of await filesBelow(path)) {
      const key = resolve(file);
      if (MAP.test(file)) maps.set(key, file);
      if (!SCRIPT.test(file) || bundles.has(key)) continue;
      const urlPath = isFolder ? relative(path, file).split(sep).join("/") : basename(file);
      bundles.set(key, { path: file, urlPath, ...(await findMap(file)) });
    }
  }
  const users = new Map<string, string>();
  for (const bundle of bundles.values()) {
    if (bundle.map === undefined) continue;
    const key = resolve(bundle.map);
    const other = users.get(key);
    users.set(key, bundle.path);
    maps.delete(key);
    if (other !== undefined) bundle.refused = `has the same map as ${other}`;
  }
  return { bundles: [...bundles.values()], orphans: [...maps.values()].sort() };
}

/** The map that a bundle names, or that lies beside it with its name. */
async function findMap(path: string): Promise<Pick<Bundle, "map" | "refused" | "without">> {
  let url: string | undefined;
  try {
    url = trailingComment(await readText(path), "sourceMappingURL")?.value;
  } catch (fault) {
    if (fault instanceof Refused) return { refused: fault.message };
    throw fault;
  }
  if (url?.startsWith("data:")) {
    return { refused: "its map is inside of it (a data: URL): have the bundler write maps as files of their own" };
  }
  const candidates = [`${path}.map`];
  if (url !== undefined) {
    const named = decoded(url.replace(/[?#].*$/, ""));
    // Named by a URL, it may still lie beside the bundle.
    candidates.unshift(join(dirname(path), basename(named)));
    if (!/^(?:[a-z][a-z\d+.-]*:|\/)/i.test(named)) candidates.unshift(join(dirname(path), named));
  }
  for (const candidate of candidates) {
    if (await isFile(candidate)) return { map: candidate };
  }
  return { without: url === undefined ? `no sourceMappingURL and no ${basename(path)}.map` : `${url} is not there` };
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url);
  } catch {
    return url;
  }
}

/** The URL of a bundle: prefix and path, written as browsers write it into stacks. */
export function urlOf(prefix: string, urlPath: string): string {
  const escaped = urlPath.replace(/[%?#\\]/g, (character) => encodeURIComponent(character));
  return prefix.replace(/\/*$/, "/") + new URL(`/${escaped}`, "http://relative.invalid").pathname.slice(1);
}
