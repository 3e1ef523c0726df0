import "uplot/dist/uPlot.min.css";
import "@kit/tokens.css";
import "@kit/parts.css";
import "./page.css";
import { start } from "@kit/app";
import { lazy } from "@kit/lazy";
import { param } from "@kit/url";
import { Overview } from "./overview";
import { service } from "./service";

const Explore = lazy<object>("Explore");

function Pages() {
  return param("view") === "explore" ? <Explore /> : <Overview />;
}

start({ service, pages: Pages, later: () => import("./later") });
