/** Options of {@link init}. Only `dsn` and `endpoint` are required. */
export interface MonlightConfig {
  /** Public DSN key of the project. It is sent as `X-Monlight-Key`. */
  dsn: string;
  /** Base URL of the browser relay, absolute or relative to the page. Trailing slashes are ignored. */
  endpoint: string;
  /** Version of the application. It selects the source maps used for its stack traces. */
  release?: string;
  /** Name of the deployment, such as `production`. Sent as `context.environment` of each error. */
  environment?: string;
  /** Share of page loads that report Web Vitals, 0 to 1. Errors and network metrics are never sampled. Default 1. */
  sampleRate?: number;
  /** Print the SDK's own troubles with `console.warn`. Default false. */
  debug?: boolean;
  /** `false` installs nothing and returns a client that does nothing. Default true. */
  enabled?: boolean;
  /** Report `console.error` and `console.warn` as errors. Default false. */
  captureConsole?: boolean;
  /**
   * Sees each error before it is sent and returns what to send, or `null` to send nothing.
   * An error is not sent when this function throws.
   */
  beforeSend?: (event: BrowserError) => BrowserError | null | undefined | false;
  /** Errors whose `type: message` contains one of these texts, or matches one of these patterns, are not sent. */
  ignoreErrors?: (string | RegExp)[];
  /**
   * Names of further URL parameters, compared without regard to case, whose values must not be sent.
   * Common ones (token, key, password, code, ...) are always removed.
   */
  scrubParams?: string[];
}

/** {@link MonlightConfig} after checking, with defaults filled in and the endpoint without trailing slashes. */
export interface ResolvedConfig extends MonlightConfig {
  sampleRate: number;
  enabled: boolean;
}

/** One error as it is posted to `/api/browser/errors`. */
export interface BrowserError {
  /** Name of the exception class, or `UnhandledRejection`, `ConsoleError`, `ConsoleWarning`. */
  type: string;
  /** Text of the error. */
  message: string;
  /** Stack as the browser wrote it, without frames of this SDK; causes are appended to it. */
  stack: string;
  /** Address of the page, without the values of secret parameters. */
  url: string;
  /** `navigator.userAgent`. */
  user_agent: string;
  /** UUID of the tab's session. */
  session_id: string;
  /** UUID of the event, by which the relay knows one that is sent again. */
  event_id: string;
  /** Values of `addContext`, then of the call, then `user_id`. */
  context: Record<string, unknown>;
  /** The option of the same name. */
  release?: string;
  /** Debug ids of the scripts in the stack, by their URLs; at most 32. */
  debug_ids?: Record<string, string>;
  /** ISO 8601 in UTC with milliseconds. */
  timestamp: string;
}

/** One measurement as it is posted, in batches, to `/api/browser/metrics`. */
export interface BrowserMetric {
  /** Such as `web_vitals_lcp` or `browser_http_requests_total`. */
  name: string;
  /** How the collector aggregates it. */
  type: "counter" | "histogram";
  /** Milliseconds for durations, a plain number otherwise. */
  value: number;
  /** Always contains `session_id` and `page` (path of the page). */
  labels: Record<string, string>;
  /** ISO 8601 in UTC with milliseconds. */
  timestamp: string;
}

/** What {@link init} returns. No method ever throws. */
export interface MonlightClient {
  /** Reports an error. Values that are no `Error` are described in words. */
  captureError(error: unknown, context?: Record<string, unknown>): void;
  /** Reports a text; level `warning` as a `ConsoleWarning`, any other as a `ConsoleError`. */
  captureMessage(message: string, level?: string): void;
  /** Sets `context.user_id` of later errors; an empty value clears it. */
  setUser(id: string | number | null | undefined): void;
  /** Adds a value to the context of later errors; `undefined` removes it. */
  addContext(key: string, value: unknown): void;
  /**
   * Sends what is waiting. Resolves to true as soon as nothing waits any more, or to false when
   * something still does after `timeout` milliseconds (default 5000).
   */
  flush(timeout?: number): Promise<boolean>;
  /** Sends what is waiting and takes everything out of the page that `init` has put in. */
  destroy(): void;
}
