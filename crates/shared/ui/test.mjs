/**
 * Runs the unit tests of the kit and of the pages: bundles every *.test.ts with esbuild into a
 * temporary folder and hands them to node's own runner, with the size budget after them.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as esbuild from "esbuild";
import { crates, SERVICES } from "./build.mjs";

const folders = ["shared/ui/tests", ...SERVICES.map(({ name }) => `${name}/ui/tests`)];
const tests = folders.flatMap((folder) => readdirSync(join(crates, folder)).filter((file) => file.endsWith(".test.ts")).map((file) => `${folder}/${file}`));
const out = mkdtempSync(join(tmpdir(), "monlight-pages-"));
try {
  await esbuild.build({
    absWorkingDir: crates,
    entryPoints: tests,
    outdir: out,
    outbase: crates,
    tsconfig: "tsconfig.json",
    bundle: true,
    format: "esm",
    platform: "node",
    outExtension: { ".js": ".mjs" },
    loader: { ".css": "empty" },
    logLevel: "warning",
  });
  const files = tests.map((file) => join(out, file.replace(/\.ts$/, ".mjs")));
  const budget = join(crates, "shared/ui/tests/budget.test.mjs");
  const { status } = spawnSync(process.execPath, ["--test", ...files, budget], { stdio: "inherit", env: { ...process.env, TZ: "Europe/Berlin" } });
  process.exitCode = status ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
