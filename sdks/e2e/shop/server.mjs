// A shop page with a minified bundle and the JavaScript SDK as a script tag, on a free port.

import { build } from "esbuild";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const SDK = join(HERE, "../../javascript/dist/monlight.min.js");

/** Bundles the shop's code as a build would: minified, names mangled, map apart. */
export async function bundle() {
  const result = await build({
    entryPoints: [join(HERE, "cart.ts")],
    absWorkingDir: HERE,
    bundle: true,
    minify: true,
    sourcemap: "external",
    outfile: join(HERE, "out/app.min.js"),
    write: false,
  });
  const text = (ending) => result.outputFiles.find((file) => file.path.endsWith(ending)).text;
  return { code: text(".js"), map: text(".js.map") };
}

/** Builds the shop into a folder with the maps beside; answers the name of the script that the page loads. */
export async function buildShop(folder, { modules = false } = {}) {
  await build({
    // As modules, the code is in a chunk that the entry loads.
    ...(modules
      ? { stdin: { contents: 'void import("./cart.ts");', resolveDir: HERE }, format: "esm", splitting: true, chunkNames: "[name]-[hash]" }
      : { entryPoints: [join(HERE, "cart.ts")] }),
    absWorkingDir: HERE,
    bundle: true,
    minify: true,
    sourcemap: "linked",
    outdir: folder,
    entryNames: "app-[hash]",
  });
  return readdirSync(folder).find((name) => /^app-.*\.js$/.test(name));
}

const page = (config, script) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Shop</title>
<link rel="icon" href="data:,">
<script>window.MonlightConfig = ${JSON.stringify(config)};</script>
<script src="/monlight.min.js"></script>
</head>
<body>
<h1>Tea and cups</h1>
<p>A page with a largest paint, two buttons and a few lines of text to lay out.</p>
<button id="pay">Pay</button>
<button id="reserve">Reserve</button>
${script}
</body>
</html>`;

/**
 * Serves the shop with one bundle given as text, or with all files of a folder below `/assets/`. Answers its origin, further
 * pages to serve, and how to close it.
 */
export async function serveShop({ code, folder, entry = "app.min.js", modules = false, config }) {
  const script = `<script${modules ? ' type="module"' : ""} src="/assets/${entry}"></script>`;
  const pages = new Map([["/shop/42", page(config, script)]]);
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://shop").pathname;
    const file = folder && path.startsWith("/assets/") && join(folder, path.slice("/assets/".length));
    const answers = {
      "/monlight.min.js": ["text/javascript", () => readFileSync(SDK)],
      "/assets/app.min.js": ["text/javascript", () => code],
      "/api/stock": ["application/json", () => '{"stock": 3}'],
      "/leave": ["text/html", () => "<!doctype html><title>Elsewhere</title><p>bye"],
    };
    if (pages.has(path)) answers[path] = ["text/html; charset=utf-8", () => pages.get(path)];
    if (file && existsSync(file)) answers[path] = ["text/javascript", () => readFileSync(file)];
    const [type, body] = answers[path] ?? ["text/plain", undefined];
    response.writeHead(body ? 200 : 404, { "Content-Type": type });
    response.end(body?.() ?? "not found");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    pages,
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((closed) => (server.closeAllConnections(), server.close(closed))),
  };
}
