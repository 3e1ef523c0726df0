/** The second file: what the list does not need for its first paint. */
export * from "@kit/later";
export { LineDetail } from "./detail";
export { PickTime } from "./pick";
