// The original's Python client from PyPI works against these services unchanged.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { KEY, ROOT, Stack } from "./stack.mjs";

const HERE = join(ROOT, "sdks/e2e/original");
const stack = new Stack();

before(async () => {
  execFileSync(join(ROOT, "sdks/venv.sh"), [HERE, "requirements.txt", "--requirement", "requirements.txt"]);
  await stack.start();
});
after(() => stack.remove());

test("the original's client reports errors and metrics, also by its FastAPI integration", async () => {
  const said = execFileSync(join(HERE, ".venv/bin/python"), [join(HERE, "client.py"), stack.url("error-tracker"), stack.url("metrics-collector"), KEY], {
    encoding: "utf8",
  });
  assert.equal(said, "status: 500\n");

  const { errors } = await stack.get("error-tracker", "/api/errors?project=original");
  assert.deepEqual(errors.map((error) => error.exception_type).sort(), ["KeyError", "LookupError", "ValueError"]);
  const { id } = errors.find((error) => error.exception_type === "ValueError");
  const { occurrences, traceback } = await stack.get("error-tracker", `/api/errors/${id}`);
  assert.match(traceback, /^Traceback \(most recent call last\):\n  File ".*original\/client\.py", line \d+/);
  assert.deepEqual(
    { ...occurrences[0], id: 0, timestamp: "", timestamp_ms: 0, traceback: "" },
    {
      ...occurrences[0], id: 0, timestamp: "", timestamp_ms: 0, traceback: "",
      request_url: "/pay?x=1", request_method: "POST", request_headers: { Accept: "*/*" }, user_id: "42", extra: { n: [1, null] },
    },
  );

  const sums = async (name) => {
    const { data } = await stack.get("metrics-collector", `/api/metrics?name=${name}&period=1h&project=original`);
    return data.reduce((total, row) => total + row.sum, 0);
  };
  assert.equal(await sums("original_total"), 20);
  assert.equal(await sums("original_seconds"), 0.25);
  assert.equal(await sums("original_depth"), -3);
  assert.equal(await sums("http_requests_total"), 1);
});
