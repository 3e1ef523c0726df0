import "@kit/tokens.css";
import "@kit/parts.css";
import "./page.css";
import { start } from "@kit/app";
import { lazy } from "@kit/lazy";
import { place } from "@kit/url";
import { IssueList } from "./list";
import { service } from "./service";

const IssueDetail = lazy<{ id: number }>("IssueDetail");

function Pages() {
  const issue = /^errors\/(\d+)\/?$/.exec(place.value.path);
  return issue ? <IssueDetail key={issue[1]} id={Number(issue[1])} /> : <IssueList />;
}

start({ service, pages: Pages, later: () => import("./later") });
