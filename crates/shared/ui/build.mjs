/**
 * Builds the pages of each service into SERVICE/ui/dist/: index.html and what it needs, each file
 * with its gzip form beside it. A file is only written when its bytes changed, so that cargo does
 * not compile a service anew for nothing. `--watch` keeps building.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
export const crates = join(here, "..", "..");

/** The services with pages. `nested` lists pages that are served one folder below the root. */
export const SERVICES = [
  { name: "error-tracker", title: "Errors · Monlight Error Tracker", nested: ["errors/index.html"] },
  { name: "log-viewer", title: "Logs · Monlight Log Viewer", nested: [] },
  { name: "metrics-collector", title: "Metrics · Monlight Metrics Collector", nested: [] },
];

const TARGET = ["chrome123", "safari17.5", "firefox128"];

/**
 * The page before its script runs. `up` leads from its address to the root: `` or `../`; `parts`
 * are the files that app.js imports at once, named so that they come in one round trip.
 */
function html(title, up, parts) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<link rel="icon" href="${up}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${up}app.css">
<script src="${up}theme.js"></script>
<script src="${up}app.js" type="module"></script>
${parts.map((name) => `<link rel="modulepreload" href="${up}${name}">\n`).join("")}</head>
<body>
<div id="app" class="root"></div>
<noscript><p class="banner">These pages need JavaScript. The same data is at api/ as JSON.</p></noscript>
</body>
</html>
`;
}

async function bundle(service) {
  const result = await esbuild.build({
    absWorkingDir: crates,
    entryPoints: { app: `${service.name}/ui/src/main.tsx`, theme: "shared/ui/kit/theme.ts" },
    outdir: `${service.name}/ui/dist`,
    tsconfig: "tsconfig.json",
    bundle: true,
    format: "esm",
    splitting: true,
    chunkNames: "part-[hash]",
    minify: true,
    charset: "utf8",
    target: TARGET,
    legalComments: "none",
    write: false,
    metafile: true,
    logLevel: "warning",
  });
  const files = new Map(result.outputFiles.map((file) => [file.path.slice(file.path.lastIndexOf("/") + 1), Buffer.from(file.contents)]));
  const parts = firstParts(result.metafile.outputs);
  for (const path of ["index.html", ...service.nested]) {
    files.set(path, Buffer.from(html(service.title, "../".repeat(path.split("/").length - 1), parts)));
  }
  files.set("icon.svg", await readFile(join(here, "icon.svg")));
  return { files, first: ["app.js", ...parts] };
}

/** The files that app.js needs before it can run: its static imports and theirs. */
function firstParts(outputs) {
  const name = (path) => path.slice(path.lastIndexOf("/") + 1);
  const byName = new Map(Object.entries(outputs).map(([path, output]) => [name(path), output]));
  const found = new Set();
  const visit = (file) => {
    for (const { path, kind } of byName.get(file)?.imports ?? []) {
      if (kind !== "import-statement" || found.has(name(path))) continue;
      found.add(name(path));
      visit(name(path));
    }
  };
  visit("app.js");
  return [...found].sort();
}

async function writeIfChanged(path, bytes) {
  const present = await readFile(path).catch(() => null);
  if (present?.equals(bytes)) return;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}

/**
 * Builds one service's pages and answers its files: name, bytes, bytes of the gzip form, and
 * whether the first paint waits for it.
 */
export async function build(service) {
  const dist = join(crates, service.name, "ui", "dist");
  const { files, first } = await bundle(service);
  const sizes = [];
  const kept = new Set();
  for (const [name, bytes] of files) {
    const gzip = gzipSync(bytes, { level: 9 });
    // Byte 9 names the system that compressed; the same pages are the same bytes everywhere.
    gzip[9] = 255;
    await writeIfChanged(join(dist, name), bytes);
    await writeIfChanged(join(dist, `${name}.gz`), gzip);
    kept.add(name).add(`${name}.gz`);
    sizes.push({ name, bytes: bytes.length, gzip: gzip.length, first: first.includes(name) });
  }
  for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !kept.has(path.slice(dist.length + 1))) await rm(path);
  }
  return sizes;
}

/** The sum of a size over the files that `filter` takes. */
export function total(sizes, key, filter) {
  return sizes.filter(filter).reduce((sum, size) => sum + size[key], 0);
}

export async function buildAll() {
  for (const service of SERVICES) {
    const sizes = await build(service);
    const first = total(sizes, "gzip", (size) => size.first);
    const later = total(sizes, "gzip", ({ name, first: now }) => !now && name.startsWith("part-"));
    const css = total(sizes, "gzip", ({ name }) => name === "app.css");
    console.log(`${service.name}: script ${first} bytes gzip at first, ${later} later; style ${css}`);
  }
}

async function watch() {
  const { watch: follow } = await import("node:fs/promises");
  let timer;
  for await (const { filename } of follow(crates, { recursive: true })) {
    if (!filename || !/ui\/(src|kit)\//.test(filename)) continue;
    clearTimeout(timer);
    timer = setTimeout(() => buildAll().catch((reason) => console.error(reason.message)), 100);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildAll();
  if (process.argv.includes("--watch")) await watch();
}
