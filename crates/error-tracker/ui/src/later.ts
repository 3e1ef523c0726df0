/** The second file: what the list does not need for its first paint. */
export * from "@kit/later";
export { IssueDetail } from "./detail";
export { Nothing, SelectionBar } from "./extras";
// Nobody asks for the list here. But what is reachable from both files lies in one shared file, and without this the
// list would be a third one that imports a hundred names from it: 1.2 kB more before the first paint.
export { IssueList } from "./list";
