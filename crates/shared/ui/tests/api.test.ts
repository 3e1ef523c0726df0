import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { Fault, type FaultKind, kindOf, request } from "@kit/api";
import { session } from "@kit/session";
import { Source } from "@kit/source";

afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
});

function answer(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
}

test("what a status means for a page", () => {
  const table: [number, FaultKind][] = [[401, "signed-out"], [404, "missing"], [400, "refused"], [413, "refused"], [429, "limited"], [500, "unavailable"], [503, "unavailable"], [502, "gone"], [504, "gone"]];
  for (const [status, kind] of table) assert.equal(kindOf(status), kind, String(status));
});

test("a request names itself as made by a page and carries no key", async () => {
  const fetched = mock.method(globalThis, "fetch", async () => answer(200, { ok: true, took_ms: 4 }));
  const { data, took } = await request<{ ok: boolean }>("api/errors/5/resolve", { method: "POST", body: { a: 1 } });
  assert.equal(data.ok, true);
  assert.equal(took, 4);
  const [url, init] = fetched.mock.calls[0]!.arguments as unknown as [string, RequestInit];
  assert.match(url, /api\/errors\/5\/resolve$/);
  assert.deepEqual(init.headers, { Accept: "application/json", "X-Requested-With": "monlight", "Content-Type": "application/json" });
  assert.equal(init.credentials, "same-origin");
});

test("a refusal says what the service said", async () => {
  mock.method(globalThis, "fetch", async () => answer(429, { detail: "Rate limit exceeded", retry_after: 7 }, { "retry-after": "12", "x-request-id": "7f3a" }));
  await assert.rejects(request("api/logs"), (reason: Fault) => {
    assert.deepEqual([reason.kind, reason.detail, reason.retryAfter, reason.requestId], ["limited", "Rate limit exceeded", 12, "7f3a"]);
    return true;
  });
});

test("an answer of something else than JSON is a fault with its status", async () => {
  mock.method(globalThis, "fetch", async () => answer(502, "<html>Bad gateway"));
  await assert.rejects(request("api/logs"), (reason: Fault) => reason.kind === "gone" && reason.detail === "The service answered 502.");
});

test("no answer at all, and one that breaks off", async () => {
  mock.method(globalThis, "fetch", async () => Promise.reject(new TypeError("failed")));
  await assert.rejects(request("api/logs"), (reason: Fault) => reason.kind === "gone");
  mock.restoreAll();
  mock.method(globalThis, "fetch", async () => answer(200, "{"));
  await assert.rejects(request("api/logs"), (reason: Fault) => reason.kind === "gone");
});

test("a failed refresh keeps the old data and tries again by itself", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let turn = 0;
  const source = new Source<number>(async () => {
    turn += 1;
    if (turn === 2) throw new Fault("limited", "Rate limit exceeded", 12);
    if (turn === 3) throw new Fault("gone", "The service does not answer.");
    return { data: turn, took: 1 };
  });
  await source.load();
  await source.load();
  assert.equal(source.data.value, 1);
  assert.equal(source.fault.value?.kind, "limited");
  assert.equal(source.retryAt.value?.getTime(), Date.now() + 12_000);
  mock.timers.tick(12_000);
  await settle();
  assert.equal(source.fault.value?.kind, "gone");
  // The second failure in a row waits longer than the first would have.
  assert.equal(source.retryAt.value?.getTime(), Date.now() + 4_000);
  mock.timers.tick(4_000);
  await settle();
  assert.deepEqual([source.data.value, source.fault.value, source.retryAt.value], [4, null, null]);
});

test("what the service refuses is not asked again", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const source = new Source<number>(async () => {
    throw new Fault("refused", "The search text has an open bracket.");
  });
  await source.load();
  assert.equal(source.retryAt.value, null);
});

test("a 401 signs the page out", async () => {
  session.value = { state: "in", info: { signed_in: true, service: "x", version: "1", siblings: { errors: null, logs: null, metrics: null, browser: null } } };
  const source = new Source<number>(async () => {
    throw new Fault("signed-out", "Invalid API key");
  });
  await source.load();
  assert.equal(session.value.state, "out");
});

test("only the newest question counts", async () => {
  const waiting: ((value: number) => void)[] = [];
  const source = new Source<number>(() => new Promise((resolve) => waiting.push((data) => resolve({ data, took: 1 }))));
  const first = source.load();
  const second = source.load();
  waiting[1]!(2);
  waiting[0]!(1);
  await Promise.all([first, second]);
  assert.equal(source.data.value, 2);
  assert.equal(source.busy.value, false);
});

test("a load is slow after 300 ms, not before", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  let done: () => void = () => {};
  const source = new Source<number>(() => new Promise((resolve) => (done = () => resolve({ data: 1, took: 1 }))));
  const load = source.load();
  mock.timers.tick(299);
  assert.equal(source.slow.value, false);
  mock.timers.tick(1);
  assert.equal(source.slow.value, true);
  done();
  await load;
  assert.equal(source.slow.value, false);
});

/** Lets promises that are already settled run on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
