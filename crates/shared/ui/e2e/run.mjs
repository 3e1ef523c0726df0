/**
 * Runs the browser tests of the pages against the real services: `npm run e2e`, with the binaries
 * in BIN_DIR (else target/debug of the repository). Pictures for people land in e2e/shots/.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { binary, CHROMIUM } from "./harness.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const missing = ["error-tracker", "log-viewer", "metrics-collector"].map(binary).filter((path) => !existsSync(path));
if (missing.length > 0) {
  console.error(`e2e: ${missing.join(", ")} missing: build the services first, or set BIN_DIR`);
  process.exit(1);
}
if (!existsSync(CHROMIUM)) {
  console.error(`e2e: ${CHROMIUM} is missing: apt-get install chromium, or set CHROMIUM`);
  process.exit(1);
}
const only = process.argv.slice(2);
const files = readdirSync(here)
  .filter((file) => file.endsWith(".e2e.mjs") && (only.length === 0 || only.some((name) => file.startsWith(name))))
  .map((file) => join(here, file));
const { status } = spawnSync(process.execPath, ["--test", "--test-concurrency=1", ...files], { stdio: "inherit" });
process.exitCode = status ?? 1;
