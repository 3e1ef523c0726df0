import type { Service } from "@kit/shell";

const SERVICE: Service = {
  id: "logs",
  name: "Logs",
  title: "Log Viewer",
  pages: [{ path: "", label: "Lines", here: true }],
};

export function service(): Service {
  return SERVICE;
}
