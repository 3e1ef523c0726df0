// The command line.

import { parseArgs } from "node:util";

/** The words were wrong; the message says how they should be. */
export class UsageError extends Error {}

/** What is to be done. */
export interface Options {
  command: "upload" | "inject";
  paths: string[];
  dryRun: boolean;
  strict: boolean;
  /** Whether bundles and maps are given debug ids; `inject` always does. */
  inject: boolean;
  /** These are for `upload` only. */
  url: string;
  project: string;
  release?: string;
  urlPrefix: string;
  key: string;
}

export const HELP = `Usage:
  monlight-sourcemaps upload --project P [--release R] [options] FOLDER...
  monlight-sourcemaps inject [--dry-run] [--strict] FOLDER...

Gives each bundle below the folders (or files), and its source map, a debug id of both their contents,
and uploads the maps to a Monlight browser relay. Run it after the build and before deploying: the
bundles change by a line each. A second run changes nothing.

  upload   inject, then upload
  inject   only give debug ids

Options:
  --url URL          base URL of the relay (or MONLIGHT_URL); with an ADMIN_PORT, that one
  --project P        project of the maps (or MONLIGHT_PROJECT)
  --release R        release of the maps (or MONLIGHT_RELEASE); optional, as debug ids need none
  --url-prefix URL   where the folder is served, such as https://shop.example/assets/ (default /)
  --no-inject        leave all files as they are; then --release is needed
  --dry-run          say what would be done, and do nothing
  --strict           fail when a bundle has no map or a map no bundle
  -h, --help         this text
  -v, --version      the version

Environment:
  MONLIGHT_API_KEY   the relay's ADMIN_API_KEY; never an option, as others can see those

Exit status: 0 all done, 1 something was refused or failed, 2 wrong usage.
`;

const FLAGS = {
  url: { type: "string" },
  project: { type: "string" },
  release: { type: "string" },
  "url-prefix": { type: "string" },
  "no-inject": { type: "boolean" },
  "dry-run": { type: "boolean" },
  strict: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const;

/** Of `upload` only. */
const OF_UPLOAD = ["url", "project", "release", "url-prefix", "no-inject"] as const;

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, allowPositionals: true });
  } catch (fault) {
    throw new UsageError((fault as Error).message);
  }
}

/**
 * Reads the command line and the environment.
 *
 * @throws UsageError when something is missing or wrong.
 */
export function readOptions(args: string[], env: NodeJS.ProcessEnv): Options | "help" | "version" {
  const { values, positionals } = parse(args);
  if (values.help || args.length === 0) return "help";
  if (values.version) return "version";
  const [command, ...paths] = positionals;
  if (command !== "upload" && command !== "inject") {
    throw new UsageError(command === undefined ? "no command: upload or inject" : `unknown command '${command}': upload or inject`);
  }
  if (paths.length === 0) throw new UsageError("no folder: name the one your build writes, such as dist/");
  const dryRun = values["dry-run"] ?? false;
  const strict = values.strict ?? false;
  if (command === "inject") {
    const foreign = OF_UPLOAD.find((name) => values[name] !== undefined);
    if (foreign) throw new UsageError(`--${foreign} is an option of upload`);
    return { command, paths, dryRun, strict, inject: true, url: "", project: "", urlPrefix: "/", key: "" };
  }

  const given = (flag: string | undefined, variable: string): string => (flag ?? env[variable] ?? "").trim();
  const options: Options = {
    command,
    paths,
    dryRun,
    strict,
    inject: !values["no-inject"],
    url: given(values.url, "MONLIGHT_URL"),
    project: given(values.project, "MONLIGHT_PROJECT"),
    release: given(values.release, "MONLIGHT_RELEASE") || undefined,
    urlPrefix: values["url-prefix"] ?? "/",
    key: given(undefined, "MONLIGHT_API_KEY"),
  };
  check(options);
  return options;
}

function parsedUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

function check({ inject, dryRun, url, project, release, urlPrefix, key }: Options): void {
  if (!project) throw new UsageError("no project: give --project or MONLIGHT_PROJECT");
  if (!inject && !release) throw new UsageError("--no-inject needs --release: without debug ids maps are found by release");
  if (!/^(?:https?:\/\/[^/]|\/)/.test(urlPrefix) || /[?#]/.test(urlPrefix)) {
    throw new UsageError(`--url-prefix must be a URL or a path, such as https://shop.example/assets/ or /assets/, not '${urlPrefix}'`);
  }
  if (dryRun) return;
  if (!url) throw new UsageError("no relay: give --url or MONLIGHT_URL, such as https://relay.example.com");
  const relay = parsedUrl(url);
  if (!relay || !/^https?:$/.test(relay.protocol)) throw new UsageError("--url must begin with http:// or https://");
  // In a URL the key would be seen in messages and logs.
  if (relay.username || relay.password) throw new UsageError("--url must not hold a user or a password");
  if (relay.search || relay.hash) throw new UsageError("--url must not have a query or a fragment");
  if (!key) throw new UsageError("no key: set MONLIGHT_API_KEY to the relay's ADMIN_API_KEY");
  if (!/^[\x21-\x7e]+$/.test(key)) throw new UsageError("MONLIGHT_API_KEY must be printable ASCII without blanks");
}
