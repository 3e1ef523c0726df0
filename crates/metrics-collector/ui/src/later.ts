/** The second file: what the overview does not need for its first paint. */
export * from "@kit/later";
export { Explore } from "./explore";
export { Charts } from "./charts";
