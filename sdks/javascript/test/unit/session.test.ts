import assert from "node:assert/strict";
import { test } from "node:test";
import { sessionId } from "../../src/lib/session.ts";
import { Page } from "./page.ts";

test("the session id comes from storage and is kept when storage goes away", () => {
  const page = new Page();
  page.storage.set("monlight_session_id", "5ad8ba5d-0000-4000-8000-000000000000");
  assert.equal(sessionId(), "5ad8ba5d-0000-4000-8000-000000000000");
  page.storage.clear();
  Object.defineProperty(globalThis, "sessionStorage", {
    get() {
      throw new Error("blocked");
    },
  });
  assert.equal(sessionId(), "5ad8ba5d-0000-4000-8000-000000000000");
});
