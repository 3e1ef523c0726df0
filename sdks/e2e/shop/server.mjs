// A shop page with a minified bundle and the JavaScript SDK as a script tag, on a free port.

import { build } from "esbuild";
import { readFileSync } from "node:fs";
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

const page = (config) => `<!doctype html>
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
<script src="/assets/app.min.js"></script>
</body>
</html>`;

/** Serves the shop; answers its origin and how to close it. */
export async function serveShop({ code, config }) {
  const server = createServer((request, response) => {
    const path = new URL(request.url, "http://shop").pathname;
    const answers = {
      "/shop/42": ["text/html; charset=utf-8", () => page(config)],
      "/monlight.min.js": ["text/javascript", () => readFileSync(SDK)],
      "/assets/app.min.js": ["text/javascript", () => code],
      "/api/stock": ["application/json", () => '{"stock": 3}'],
      "/leave": ["text/html", () => "<!doctype html><title>Elsewhere</title><p>bye"],
    };
    const [type, body] = answers[path] ?? ["text/plain", undefined];
    response.writeHead(body ? 200 : 404, { "Content-Type": type });
    response.end(body?.() ?? "not found");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((closed) => (server.closeAllConnections(), server.close(closed))),
  };
}
