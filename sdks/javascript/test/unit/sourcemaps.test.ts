// The command `monlight-sourcemaps` as people run it, against a relay that answers what a test wants.
// Needs `npm run build` before.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { findBuild, urlOf } from "../../cli/files.ts";
import { Rejected, Relay, Unusable } from "../../cli/relay.ts";

const KEY = "a-key-that-nobody-may-see";
const map = (source: string) => JSON.stringify({ version: 3, sources: [source], names: [], mappings: "AAAA" });

interface Request {
  path: string;
  headers: Record<string, string | string[] | undefined>;
  body: any;
}

/** What the relay answers to the next requests, before the usual 201; null breaks the connection. */
let answers: ([status: number, body: object, headers?: Record<string, string>] | null)[] = [];
let requests: Request[] = [];
let url = "";
const server = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString("utf8"));
  requests.push({ path: request.url!, headers: request.headers, body });
  const answer = answers.shift();
  if (answer === null) {
    request.socket.destroy();
    return;
  }
  const [status, text, headers] = answer ?? [201, { status: "uploaded" }];
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(text));
});

let folder = "";
before(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => void server.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "monlight-sourcemaps-"));
  answers = [];
  requests = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(files: Record<string, string | Buffer>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** Runs the built command; answers its exit status and all it wrote. */
async function command(args: string[], env: Record<string, string> = {}): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ["dist/sourcemaps.mjs", ...args], { env: { PATH: process.env.PATH, ...env } });
  const texts = { out: "", err: "" };
  child.stdout.on("data", (text) => (texts.out += text));
  child.stderr.on("data", (text) => (texts.err += text));
  const status = await new Promise<number | null>((done) => child.on("close", done));
  assert.ok(!`${texts.out}${texts.err}`.includes(KEY), "the key was shown");
  return { status, ...texts };
}

const upload = (...more: string[]) =>
  command(["upload", "--project", "shop", "--url", url, folder, ...more], { MONLIGHT_API_KEY: KEY });

test("help, version, and words for wrong usage", async () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.deepEqual(await command(["--version"]), { status: 0, out: `${version}\n`, err: "" });
  for (const args of [[], ["--help"], ["upload", "-h"]]) {
    const { status, out, err } = await command(args);
    assert.deepEqual({ status, err }, { status: 0, err: "" });
    assert.match(out, /^Usage:\n {2}monlight-sourcemaps upload [^]*MONLIGHT_API_KEY[^]*Exit status/);
  }
  const env = { MONLIGHT_API_KEY: KEY, MONLIGHT_URL: url, MONLIGHT_PROJECT: "shop" };
  const check = async (args: string[], why: RegExp, more: Record<string, string> = {}) => {
    const { status, out, err } = await command(args, { ...env, ...more });
    assert.deepEqual({ status, out }, { status: 2, out: "" }, err);
    assert.match(err, why);
    assert.match(err, /\nSee monlight-sourcemaps --help\n$/);
  };
  await check(["dist"], /unknown command 'dist': upload or inject/);
  await check(["--strict"], /no command: upload or inject/);
  await check(["upload"], /no folder: name the one your build writes/);
  await check(["upload", folder, "--key", KEY], /Unknown option '--key'/);
  await check(["inject", folder, "--release", "1"], /--release is an option of upload/);
  await check(["upload", folder], /no project: give --project or MONLIGHT_PROJECT/, { MONLIGHT_PROJECT: " " });
  await check(["upload", folder], /no relay: give --url or MONLIGHT_URL/, { MONLIGHT_URL: "" });
  await check(["upload", folder], /no key: set MONLIGHT_API_KEY/, { MONLIGHT_API_KEY: "" });
  await check(["upload", folder], /MONLIGHT_API_KEY must be printable ASCII/, { MONLIGHT_API_KEY: `${KEY}\nX: y` });
  await check(["upload", folder, "--url", "relay.example"], /--url must begin with http/);
  await check(["upload", folder, "--url", "https://me:pw@relay.example"], /must not hold a user or a password/);
  await check(["upload", folder, "--url", "https://relay.example?x"], /must not have a query/);
  await check(["upload", folder, "--url-prefix", "assets"], /--url-prefix must be a URL or a path/);
  await check(["upload", folder, "--no-inject"], /--no-inject needs --release/);
});

test("everything below a folder is injected and uploaded, and a second run changes nothing", async () => {
  write({
    "app.js": "a=1;\n//# sourceMappingURL=app.js.map\n",
    "app.js.map": map("app.ts"),
    "chunks/b c.mjs": "b=1;\n//# sourceMappingURL=../maps/b%20c.map?v=1\n",
    "maps/b c.map": map("b.ts"),
    "hidden.cjs": "c=1;",
    "hidden.cjs.map": map("c.ts"),
    "vendor.js": "d=1;",
    "style.css": "p{}",
    "style.css.map": "{}",
    "node_modules/x/x.js": "e=1;\n//# sourceMappingURL=x.js.map",
  });
  chmodSync(join(folder, "hidden.cjs"), 0o755);
  const args = ["--release", "1.4.2", "--url-prefix", "https://shop.example/assets"];
  const first = await upload(...args);
  assert.equal(first.status, 0, first.err);
  assert.equal(first.err, "");
  assert.match(first.out, /^no map {7}\S*vendor\.js: no sourceMappingURL and no vendor\.js\.map$/m);
  assert.match(first.out, /^injected {5}\S*app\.js: debug id [\da-f-]{36}$/m);
  assert.match(first.out, /^uploaded {5}\S*app\.js\.map as https:\/\/shop\.example\/assets\/app\.js \(0\.1 kB, 0\.\d kB sent; \d of 3\)$/m);
  assert.match(first.out, /^shop, release 1\.4\.2: 3 uploaded\.$/m);
  assert.doesNotMatch(first.out, /node_modules|style/);

  assert.deepEqual(requests.map(({ body }) => body.file_url).sort(), [
    "https://shop.example/assets/app.js",
    "https://shop.example/assets/chunks/b%20c.mjs",
    "https://shop.example/assets/hidden.cjs",
  ]);
  for (const { path, headers, body } of requests) {
    assert.equal(path, "/api/source-maps");
    assert.equal(headers["x-api-key"], KEY);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["content-encoding"], "gzip");
    assert.deepEqual({ ...body, file_url: "", map_content: "", debug_id: "" }, { project: "shop", release: "1.4.2", file_url: "", map_content: "", debug_id: "" });
    const sent = JSON.parse(body.map_content);
    assert.equal(sent.debug_id, body.debug_id);
    assert.equal(sent.mappings, ";AAAA");
  }
  assert.equal(statSync(join(folder, "hidden.cjs")).mode & 0o777, 0o755);
  assert.deepEqual(readdirSync(folder).sort(), ["app.js", "app.js.map", "chunks", "hidden.cjs", "hidden.cjs.map", "maps", "node_modules", "style.css", "style.css.map", "vendor.js"]);

  const files = () => ["app.js", "app.js.map", "chunks/b c.mjs", "maps/b c.map"].map((name) => readFileSync(join(folder, name), "utf8"));
  const after = files();
  const bodies = requests.map(({ body }) => body);
  requests = [];
  const second = await upload(...args);
  assert.equal(second.status, 0);
  assert.equal(second.out.match(/^unchanged/gm)!.length, 3);
  assert.deepEqual(files(), after);
  const byUrl = (one: any, other: any) => (one.file_url < other.file_url ? -1 : 1);
  assert.deepEqual(requests.map(({ body }) => body).sort(byUrl), bodies.sort(byUrl));
});

test("no release is needed with debug ids, and no debug id with a release", async () => {
  write({ "app.js": "a=1;", "app.js.map": map("a.ts") });
  assert.equal((await upload("--no-inject", "--release", "r")).status, 0);
  assert.equal(readFileSync(join(folder, "app.js"), "utf8"), "a=1;");
  assert.equal("debug_id" in requests[0]!.body, false);
  assert.equal((await upload()).status, 0);
  assert.equal("release" in requests[1]!.body, false);
  assert.equal(requests[1]!.body.file_url, "/app.js");
  assert.match(requests[1]!.body.debug_id, /^[\da-f-]{36}$/);
});

test("without debug ids, two maps for one URL are refused", async () => {
  const id = "85314830-023f-4cf1-a267-535f4e37bb17";
  write({
    "client/app.js": "a=1;",
    "client/app.js.map": map("a.ts"),
    "server/app.js": "b=1;",
    "server/app.js.map": map("b.ts"),
    "worker/app.js": `c=1;\n//# debugId=${id}\n`,
    "worker/app.js.map": JSON.stringify({ ...JSON.parse(map("own.ts")), debug_id: id }),
  });
  const folders = ["client", "server", "worker"].map((name) => join(folder, name));
  const both = (...more: string[]) =>
    command(["upload", "--project", "shop", "--url", url, "--release", "r", ...more, ...folders], { MONLIGHT_API_KEY: KEY });
  const { status, out, err } = await both("--no-inject");
  assert.equal(status, 1);
  assert.match(err, /^refused {6}\S*server\/app\.js: would be at \/app\.js like \S*client\/app\.js: upload their folders/m);
  assert.match(out, /^shop, release r: 2 uploaded\.$/m);
  assert.deepEqual(requests.map(({ body }) => JSON.parse(body.map_content).sources[0]).sort(), ["a.ts", "own.ts"]);
  assert.equal((await both()).status, 0);
  assert.equal(requests.length, 5);
});

test("a dry run needs no relay and does nothing", async () => {
  write({ "app.js": "a=1;", "app.js.map": map("a.ts") });
  const { status, out } = await command(["upload", "--project", "shop", "--dry-run", folder]);
  assert.equal(status, 0);
  assert.match(out, /^would inject \S*app\.js: debug id [\da-f-]{36}\nwould upload \S*app\.js\.map as \/app\.js\n$/);
  assert.equal(readFileSync(join(folder, "app.js"), "utf8"), "a=1;");
  assert.equal(readFileSync(join(folder, "app.js.map"), "utf8"), map("a.ts"));
  assert.equal(requests.length, 0);
});

test("inject alone sends nothing", async () => {
  write({ "app.js": "a=1;", "app.js.map": map("a.ts") });
  const { status, out } = await command(["inject", join(folder, "app.js")]);
  assert.equal(status, 0);
  assert.match(out, /^injected /);
  assert.match(readFileSync(join(folder, "app.js"), "utf8"), /\/\/# debugId=/);
  assert.equal(requests.length, 0);
});

test("what is refused is named with its reason, the rest is uploaded, and the status is 1", async () => {
  const inline = `data:application/json;base64,${Buffer.from(map("x.ts")).toString("base64")}`;
  write({
    "good.js": "a=1;",
    "good.js.map": map("a.ts"),
    "inline.js": `b=1;\n//# sourceMappingURL=${inline}`,
    "broken.js": "c=1;",
    "broken.js.map": "<html>",
    "latin.js": Buffer.from([0x61, 0xe9]),
    "one.js": "d=1;\n//# sourceMappingURL=shared.js.map",
    "two.js": "e=1;\n//# sourceMappingURL=shared.js.map",
    "shared.js.map": map("s.ts"),
  });
  const { status, out, err } = await upload();
  assert.equal(status, 1);
  assert.match(err, /^refused {6}\S*inline\.js: its map is inside of it \(a data: URL\)/m);
  assert.match(err, /^refused {6}\S*broken\.js: its map is no JSON/m);
  assert.match(err, /^refused {6}\S*latin\.js: latin\.js is not UTF-8$/m);
  assert.match(err, /^refused {6}\S*two\.js: has the same map as \S*one\.js$/m);
  assert.match(out, /shop: 2 uploaded\.$/m);
  assert.deepEqual(requests.map(({ body }) => body.file_url).sort(), ["/good.js", "/one.js"]);
});

test("strict asks for a map of each bundle and a bundle of each map", async () => {
  write({ "app.js": "a=1;", "app.js.map": map("a.ts"), "old.js.map": map("o.ts"), "vendor.js": "b;\n//# sourceMappingURL=gone.map" });
  const lenient = await upload();
  assert.equal(lenient.status, 0);
  assert.match(lenient.out, /^no map {7}\S*vendor\.js: gone\.map is not there$/m);
  assert.match(lenient.out, /^no bundle {4}\S*old\.js\.map: a map that no bundle names$/m);
  const strict = await upload("--strict");
  assert.equal(strict.status, 1);
  assert.match(strict.err, /^no map [^]*^no bundle /m);
});

test("a folder without maps, or none at all, is no success", async () => {
  write({ "app.js": "a=1;" });
  const { status, err } = await upload();
  assert.equal(status, 1);
  assert.match(err, /There is no bundle with a map to work on in /);
  const missing = await command(["inject", join(folder, "nowhere")]);
  assert.equal(missing.status, 1);
  assert.match(missing.err, /^monlight-sourcemaps: \S*nowhere is not there\n$/);
});

test("a relay that refuses one map gets the others; one that refuses the key gets nothing more", async () => {
  const files = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [[`${n}.js`, `a=${n};`], [`${n}.js.map`, map(`${n}.ts`)]]).flat());
  write(files);
  answers = [[400, { detail: "Invalid source map format: x\u001b[31m" }], [413, { detail: "too large" }]];
  const some = await upload();
  assert.equal(some.status, 1);
  assert.match(some.err, /^refused {6}\S*\.js\.map: refused by the relay \(400: Invalid source map format: x \[31m\)$/m);
  assert.match(some.err, /^refused {6}\S*\.js\.map: too large for the relay \(413: too large\); MAX_SOURCE_MAP_BYTES is its limit$/m);
  assert.match(some.err, /^shop: 10 uploaded, 2 refused\.$/m);

  requests = [];
  answers = Array.from({ length: 12 }, () => [401, { detail: "Invalid API key" }]);
  const none = await upload();
  assert.equal(none.status, 1);
  assert.equal(none.err.match(/^failed .*refuses the key in MONLIGHT_API_KEY \(401: Invalid API key\)$/gm)!.length, 1);
  assert.match(none.err, /^shop: 0 uploaded, 12 not uploaded\.$/m);
  assert.ok(requests.length <= 4, `${requests.length} requests after the first 401`);
});

test("a busy relay is asked again when it says so", async () => {
  write({ "app.js": "a=1;", "app.js.map": map("a.ts") });
  answers = [[429, {}, { "Retry-After": "0" }], [503, { detail: "busy" }, { "Retry-After": new Date(0).toUTCString() }]];
  const { status, err } = await upload();
  assert.equal(status, 0, err);
  assert.equal(err, "waiting      0.0 s: the relay answers 429: {}\nwaiting      0.0 s: the relay answers 503: busy\n");
  assert.equal(requests.length, 3);
});

/** A relay whose pauses are noted and not waited for. */
function impatient() {
  const pauses: number[] = [];
  const relay = new Relay({ url: `${url}/`, key: KEY, onRetry: () => {}, pause: async (wait) => void pauses.push(wait) });
  return { pauses, send: () => relay.upload({ project: "p", file_url: "/a.js", map_content: "{}" }) };
}

test("pauses grow, and end after six tries", async () => {
  answers = [null, [500, {}], [502, {}], [503, {}]];
  const { pauses, send } = impatient();
  assert.ok((await send()) > 0);
  assert.equal(pauses.length, 4);
  pauses.forEach((pause, n) => assert.ok(pause >= 500 * 2 ** n && pause <= 1000 * 2 ** n, String(pauses)));
  assert.equal(requests[0]!.path, "/api/source-maps");

  answers = Array.from({ length: 10 }, () => [503, { detail: "full" }]);
  requests = [];
  await assert.rejects(send(), (fault: Error) => fault instanceof Unusable && fault.message === "the relay answers 503: full; gave up after 6 tries");
  assert.equal(requests.length, 6);
});

test("Retry-After counts for all uploads, and one of an hour ends them", async () => {
  answers = [[429, {}, { "Retry-After": "40" }]];
  const { pauses, send } = impatient();
  await send();
  await send();
  assert.ok(pauses.length === 2 && pauses.every((pause) => pause > 1000 && pause <= 40_000), String(pauses));
  answers = [[429, { detail: "later" }, { "Retry-After": "3600" }]];
  await assert.rejects(send(), /the relay answers 429: later and asks to come back in 3600 s/);
});

test("answers of something that is no relay end the uploads", async () => {
  const { send } = impatient();
  answers = [[302, {}, { Location: "https://login.example/" }]];
  await assert.rejects(send(), (fault: Error) => fault instanceof Unusable && /redirects to https:\/\/login\.example\/: give the relay's own address/.test(fault.message));
  answers = [[404, { detail: "Not found" }]];
  await assert.rejects(send(), (fault: Error) => fault instanceof Unusable && /is no relay \(404: Not found\)/.test(fault.message));
  answers = [[400, { detail: "x".repeat(9999) }]];
  await assert.rejects(send(), (fault: Error) => fault instanceof Rejected && fault.message.length < 600);
});

test("where a map is looked for", async () => {
  write({
    "a.js": "a;\n//# sourceMappingURL=https://cdn.example/maps/a.js.map",
    "a.js.map": "{}",
    "b.js": "b;\n//# sourceMappingURL=/maps/b.map",
    "b.map": "{}",
    "c.js": "c;\n//# sourceMappingURL=%E0%A4%A.map",
    "d.js": "d;\n//# sourceMappingURL=old.map",
    "d.js.map": "{}",
  });
  symlinkSync(folder, join(folder, "loop"));
  symlinkSync(join(folder, "gone"), join(folder, "dangling.js"));
  const { bundles, orphans } = await findBuild([folder, join(folder, "d.js")]);
  const found = bundles.map(({ urlPath, map, without }) => [urlPath, map?.slice(folder.length + 1) ?? without]);
  assert.deepEqual(found, [["a.js", "a.js.map"], ["b.js", "b.map"], ["c.js", "%E0%A4%A.map is not there"], ["d.js", "d.js.map"]]);
  assert.deepEqual(orphans, []);
});

test("URLs are written as browsers write them into stacks", () => {
  assert.equal(urlOf("https://shop.example/assets/", "chunks/[id] é%#?.js"), "https://shop.example/assets/chunks/[id]%20%C3%A9%25%23%3F.js");
  assert.equal(urlOf("/", "a.js"), "/a.js");
  assert.equal(urlOf("/x", "../a.js"), "/x/a.js");
});
