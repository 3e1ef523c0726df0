import "@kit/tokens.css";
import "@kit/parts.css";
import "./page.css";
import { start } from "@kit/app";
import { service } from "./service";
import { Logs } from "./view";

start({ service, pages: Logs, later: () => import("./later") });
