/** Who is signed in. The key goes to the service once, the browser keeps only a cookie it cannot read. */
import { signal } from "@preact/signals";
import { Fault, request } from "./api";

/** The addresses of the other services, as far as the operator named them. */
export interface Siblings {
  errors: string | null;
  logs: string | null;
  metrics: string | null;
  browser: string | null;
}

export interface SessionInfo {
  signed_in: true;
  service: string;
  version: string;
  siblings: Siblings;
}

/** `asking` until the service has answered the first time. */
export type SessionState =
  | { state: "asking" }
  | { state: "out" }
  | { state: "in"; info: SessionInfo }
  | { state: "gone"; fault: Fault };

export const session = signal<SessionState>({ state: "asking" });

export async function askSession(): Promise<void> {
  try {
    const { data } = await request<SessionInfo>("api/session");
    session.value = { state: "in", info: data };
  } catch (reason) {
    if (!(reason instanceof Fault)) throw reason;
    session.value = reason.kind === "signed-out" ? { state: "out" } : { state: "gone", fault: reason };
  }
}

/** Throws the {@link Fault} of a wrong key (`signed-out`) or of too many tries (`limited`). */
export async function signIn(key: string): Promise<void> {
  await request("api/session", { method: "POST", body: { key } });
  await askSession();
}

export async function signOut(): Promise<void> {
  await request("api/session", { method: "DELETE" });
  session.value = { state: "out" };
}

/** Called by whoever hears a 401: the page keeps its URL and asks for the key. */
export function lostSession(): void {
  if (session.peek().state !== "out") session.value = { state: "out" };
}
