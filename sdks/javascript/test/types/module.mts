import { init, type BrowserError, type BrowserMetric, type MonlightClient, type MonlightConfig, type ResolvedConfig } from "@monlight/browser";

const config: MonlightConfig = {
  dsn: "k",
  endpoint: "https://relay.example",
  beforeSend: (event: BrowserError) => (event.type === "Noise" ? null : event),
};
const client: MonlightClient = init(config);
client.captureError(new Error("x"), { a: 1 });
client.captureMessage("x", "warning");
client.setUser("u");
client.addContext("k", {});
const flushed: Promise<boolean> = client.flush(100);
client.destroy();
export type { BrowserMetric, ResolvedConfig };
export { flushed };
// @ts-expect-error: the endpoint is required
init({ dsn: "k" });
