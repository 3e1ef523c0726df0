// The command `monlight-sourcemaps`.

import { HELP, readOptions, UsageError } from "./options.ts";
import { run } from "./run.ts";

/** Set by the build. */
declare const VERSION: string;

async function main(): Promise<number> {
  if (Number(process.versions.node.split(".")[0]) < 18) {
    console.error(`monlight-sourcemaps: Node.js 18 or later is needed, this is ${process.versions.node}`);
    return 2;
  }
  try {
    const options = readOptions(process.argv.slice(2), process.env);
    if (options === "help") console.log(HELP.trimEnd());
    else if (options === "version") console.log(VERSION);
    else return (await run(options, { say: console.log, complain: console.error })) ? 0 : 1;
    return 0;
  } catch (fault) {
    const { message, code, path } = fault as NodeJS.ErrnoException;
    if (fault instanceof UsageError) console.error(`monlight-sourcemaps: ${message}\nSee monlight-sourcemaps --help`);
    else if (code === "ENOENT") console.error(`monlight-sourcemaps: ${path} is not there`);
    // Of the file system, such as a folder that cannot be written.
    else if (path !== undefined) console.error(`monlight-sourcemaps: ${message}`);
    else throw fault;
    return fault instanceof UsageError ? 2 : 1;
  }
}

process.exitCode = await main();
