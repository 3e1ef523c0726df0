// Real packages through real bundlers, as a project builds them for production: minified, maps apart.

import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { minify } from "terser";
import webpack from "webpack";

const HERE = dirname(fileURLToPath(import.meta.url));

const production = { "process.env.NODE_ENV": '"production"' };

async function withEsbuild(folder, options) {
  await build({
    absWorkingDir: HERE,
    bundle: true,
    minify: true,
    define: production,
    logLevel: "warning",
    outdir: folder,
    ...options,
  });
}

/** esbuild as ES modules with shared chunks, comments that name the maps. */
function esbuildModules(folder, entryPoints) {
  return withEsbuild(folder, { entryPoints, format: "esm", splitting: true, sourcemap: "linked" });
}

/** esbuild to one readable script each, then terser, which composes the two maps. The maps are not named. */
async function esbuildThenTerser(folder, entryPoints) {
  await withEsbuild(folder, { entryPoints, format: "iife", minify: false, sourcemap: "external" });
  for (const name of Object.keys(entryPoints)) {
    const path = join(folder, `${name}.js`);
    const content = readFileSync(`${path}.map`, "utf8");
    const { code, map } = await minify(readFileSync(path, "utf8"), { ecma: 2020, sourceMap: { content } });
    writeFileSync(path, `"use strict";\n${code}\n`);
    // The directive has a line of its own here.
    const moved = JSON.parse(map);
    writeFileSync(`${path}.map`, JSON.stringify({ ...moved, mappings: `;${moved.mappings}`, sourceRoot: "https://shop.example/source/" }));
  }
}

async function withWebpack(folder, entry) {
  const stats = await new Promise((done, failed) => {
    webpack(
      {
        mode: "production",
        context: HERE,
        entry,
        devtool: "source-map",
        output: { path: folder, filename: "[name].js" },
        optimization: { splitChunks: { chunks: "all", minSize: 0 }, minimizer: [minimizer] },
        performance: { hints: false },
      },
      (fault, result) => (fault ? failed(fault) : done(result)),
    );
  });
  if (stats.hasErrors()) throw new Error(stats.toString({ colors: false }));
}

/** Minifies with terser in this process: webpack's own way starts a process for each processor. */
const minimizer = {
  apply(compiler) {
    compiler.hooks.compilation.tap("minimizer", (compilation) => {
      const stage = webpack.Compilation.PROCESS_ASSETS_STAGE_OPTIMIZE_SIZE;
      compilation.hooks.processAssets.tapPromise({ name: "minimizer", stage }, async (assets) => {
        for (const [name, asset] of Object.entries(assets)) {
          const { source, map: content } = asset.sourceAndMap();
          const { code, map } = await minify({ [name]: String(source) }, { ecma: 2020, sourceMap: { content } });
          compilation.updateAsset(name, new webpack.sources.SourceMapSource(code, name, map, String(source), content, true));
        }
      });
    });
  },
};

function entries(...names) {
  return Object.fromEntries(names.map((name) => [name, join(HERE, "entries", `${name}.js`)]));
}

/** Builds into the folders `esbuild`, `terser` and `webpack` below `folder`. */
export async function buildAll(folder) {
  await esbuildModules(join(folder, "esbuild"), entries("lodash", "preact", "react", "zod"));
  await esbuildThenTerser(join(folder, "terser"), entries("lodash", "preact"));
  await withWebpack(join(folder, "webpack"), entries("preact", "react"));
}
