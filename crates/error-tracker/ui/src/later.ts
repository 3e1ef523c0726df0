/** The second file: what the list does not need for its first paint. */
export * from "@kit/later";
export { IssueDetail } from "./detail";
export { Nothing, SelectionBar } from "./extras";
