import type { Service } from "@kit/shell";
import { totals, totalText } from "./model";

export function service(): Service {
  const { open } = totals.value;
  return {
    id: "errors",
    name: "Errors",
    title: "Error Tracker",
    pages: [{ path: "", label: "Issues", here: true, ...(open === null ? {} : { n: totalText(open) }) }],
  };
}
