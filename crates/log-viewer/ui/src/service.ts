import type { Service } from "@kit/shell";

const SERVICE: Service = {
  id: "logs",
  name: "Logs",
  title: "Log Viewer",
  keyVariable: "LOG_VIEWER_API_KEY",
  pages: [{ path: "", label: "Lines", here: true }],
};

export function service(): Service {
  return SERVICE;
}
