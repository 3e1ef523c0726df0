// Builds dist/: the bundles with their source maps, the declarations, and the command for source maps.
import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");

/** Options of every bundle; properties that start with one underscore are private and get short names. */
const common = {
  absWorkingDir: root,
  bundle: true,
  target: "es2020",
  minify: true,
  mangleProps: /^_[a-z]/,
  sourcemap: "external",
  charset: "utf8",
  logLevel: "warning",
};

const bundles = [
  // No wrapper for exports: the entry sets the global `MonlightSDK` itself. ASCII, because a page
  // may declare another encoding than UTF-8.
  { entryPoints: ["src/script.ts"], outfile: "dist/monlight.min.js", format: "iife", charset: "ascii" },
  { entryPoints: ["src/module.ts"], outfile: "dist/monlight.esm.js", format: "esm" },
  { entryPoints: ["src/index.ts"], outfile: "dist/monlight.cjs", format: "cjs", platform: "neutral" },
];

/** Bundles with esbuild, which knows the types; terser then makes another twentieth of it go away. */
async function bundle(options) {
  const { outputFiles } = await build({ ...common, ...options, write: false });
  const text = (ending) => outputFiles.find(({ path }) => path.endsWith(ending)).text;
  const name = basename(options.outfile);
  const { code, map } = await minify(text("js"), {
    ecma: 2020,
    module: options.format === "esm",
    compress: { passes: 3 },
    format: { ascii_only: options.charset === "ascii" },
    sourceMap: { content: text(".map"), filename: name, url: `${name}.map` },
  });
  writeFileSync(join(root, options.outfile), `${code}\n`);
  writeFileSync(join(root, `${options.outfile}.map`), map);
}

/** The command `monlight-sourcemaps`: for Node.js, readable, with nothing in it but this repository's code. */
async function command() {
  const outfile = join(dist, "sourcemaps.mjs");
  await build({
    absWorkingDir: root,
    entryPoints: ["cli/main.ts"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node18",
    format: "esm",
    charset: "utf8",
    banner: { js: "#!/usr/bin/env node" },
    define: { VERSION: JSON.stringify(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version) },
    logLevel: "warning",
  });
  chmodSync(outfile, 0o755);
}

/**
 * One declaration file without imports, so that the same text serves ES modules (.d.ts) and
 * CommonJS (.d.cts).
 */
function declarations() {
  const out = join(root, "build/types");
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.types.json"), "--outDir", out], { stdio: "inherit" });
  const types = readFileSync(join(out, "types.d.ts"), "utf8");
  const index = readFileSync(join(out, "index.d.ts"), "utf8");
  const init = index.slice(index.lastIndexOf("/**"));
  if (!/^\/\*\*[^]*\*\/\nexport declare function init\(/.test(init)) throw new Error("unexpected index.d.ts:\n" + index);
  const text = `${types}${init}`;
  if (/^\s*(import|export .* from)\b/m.test(text)) throw new Error("the declarations must stand alone");
  for (const name of ["index.d.ts", "index.d.cts"]) writeFileSync(join(dist, name), text);
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await Promise.all([...bundles.map(bundle), command()]);
declarations();

for (const { outfile } of bundles) {
  const code = readFileSync(join(root, outfile));
  const integrity = createHash("sha384").update(code).digest("base64");
  console.log(`${outfile}  ${code.length} B  gzip ${gzipSync(code, { level: 9 }).length} B  sha384-${integrity}`);
}
