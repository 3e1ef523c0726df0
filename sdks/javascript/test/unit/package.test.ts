// What is published: bundles, declarations, exports and sizes. Needs `npm run build` before.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import vm from "node:vm";

const root = process.cwd();
const read = (path: string) => readFileSync(join(root, path), "utf8");

test("the bundles stay small", () => {
  for (const name of ["monlight.min.js", "monlight.esm.js"]) {
    const size = gzipSync(read(`dist/${name}`), { level: 9 }).length;
    assert.ok(size <= 6000, `${name} is ${size} B gzipped`);
  }
});

test("there are no runtime dependencies, and no addresses in the lock file", () => {
  const manifest = JSON.parse(read("package.json"));
  assert.equal(manifest.version, "1.0.0");
  assert.equal("dependencies" in manifest, false);
  assert.doesNotMatch(read("package-lock.json"), /"resolved"/);
});

test("source maps carry their sources", () => {
  for (const name of ["monlight.min.js", "monlight.esm.js", "monlight.cjs"]) {
    assert.match(read(`dist/${name}`), new RegExp(`//# sourceMappingURL=${name}\\.map\\s*$`));
    const map = JSON.parse(read(`dist/${name}.map`));
    assert.ok(map.sources.some((source: string) => source.endsWith("src/client.ts")));
    assert.equal(map.sourcesContent.length, map.sources.length);
  }
});

test("import and require work outside of a page and give clients that do nothing", () => {
  const run = (args: string[]) => execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  const use = "const c = init({dsn:'k',endpoint:'https://r'}); c.captureError(1); c.setUser('u'); c.flush().then(console.log); c.destroy();";
  assert.equal(run(["--input-type=module", "-e", `import {init} from '@monlight/browser'; ${use}`]), "true\n");
  assert.equal(run(["--input-type=commonjs", "-e", `const {init} = require('@monlight/browser'); ${use}`]), "true\n");
  const required = createRequire(join(root, "x.js"))("@monlight/browser");
  assert.deepEqual(Object.keys(required), ["init"]);
});

test("the script defines MonlightSDK and starts only when asked to", () => {
  const code = read("dist/monlight.min.js");
  assert.match(code, /^[\x00-\x7F]*$/, "ASCII, for pages in any encoding");
  const run = (config?: object) => {
    const errors: unknown[][] = [];
    const sandbox: any = { console: { error: (...args: unknown[]) => errors.push(args) } };
    sandbox.window = sandbox;
    if (config) sandbox.MonlightConfig = config;
    vm.runInNewContext(code, sandbox);
    return { sandbox, errors };
  };
  assert.equal(typeof run().sandbox.MonlightSDK.init, "function");
  assert.equal("Monlight" in run().sandbox, false);
  assert.equal(typeof run({ dsn: "k", endpoint: "https://r" }).sandbox.Monlight.captureError, "function");
  const failed = run({ dsn: "k" });
  assert.equal("Monlight" in failed.sandbox, false);
  assert.equal(failed.errors[0]![0], "[Monlight] Auto-init failed:");
});

test("the declarations serve ES modules and CommonJS", () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "test/types"], { cwd: root, stdio: "pipe" });
});
