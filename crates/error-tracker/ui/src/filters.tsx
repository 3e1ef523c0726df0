/** The second line of the list: search and filters. */
import { useEffect } from "preact/hooks";
import { narrow } from "@kit/dom";
import { useKeys } from "@kit/keys";
import { RefreshButton } from "@kit/live";
import { Chip, Filter } from "@kit/menu";
import { SearchField } from "@kit/shell";
import { setParams } from "@kit/url";
import { FACTS, type Facets } from "./api";
import { facets, filters, projects, reload, searchFault, source } from "./model";
import { SortMenu } from "./table";

const OF_FACETS: { name: keyof Facets & ("level" | "release" | "environment"); label: string }[] = [
  { name: "level", label: "Level" },
  { name: "release", label: "Release" },
  { name: "environment", label: "Environment" },
];

/** Filters without a menu of their own: links from an issue set them. */
const CHIPS = { server_name: "Server", tag: "Tag", user: "User", session: "Session" } as const;

export function FilterBar() {
  const wanted = filters();
  useEffect(() => void projects.load(), []);
  useEffect(() => void facets.load(), [wanted.project]);
  const removeLast = () => {
    const last = FACTS.findLast((name) => wanted[name]);
    return last ? setParams({ [last]: null }) : false;
  };
  useKeys("Page", { Backspace: { label: "remove the last filter", run: removeLast } });
  const names = projects.data.value?.projects ?? [];
  return (
    <div class="tools" role="search">
      <SearchField
        label="Search issues"
        placeholder="Type, message, traceback"
        value={wanted.search}
        fault={searchFault()}
        onChange={(q) => setParams({ q, search: null }, true)}
        onErase={removeLast}
      />
      <div class="filters">
        <Filter
          label="Project"
          value={wanted.project}
          choices={names.map((name) => ({ value: name, label: name || "(no name)" }))}
          none="No project has sent anything yet."
          onChange={(project) => setParams({ project })}
        />
        <Filter
          label="Source"
          value={wanted.source}
          choices={[
            { value: "server", label: "Server" },
            { value: "browser", label: "Browser" },
          ]}
          onChange={(next) => setParams({ source: next })}
        />
        {OF_FACETS.map(({ name, label }) => {
          const known = facets.data.value?.[name] ?? [];
          if (known.length === 0 && !wanted[name]) return null;
          return <Filter key={name} label={label} value={wanted[name]} choices={known.map(({ value, groups }) => ({ value, label: value, count: String(groups) }))} onChange={(next) => setParams({ [name]: next })} />;
        })}
        {Object.entries(CHIPS).map(([name, label]) => {
          const value = wanted[name as keyof typeof CHIPS];
          return value && <Chip key={name} label={label} value={value} onRemove={() => setParams({ [name]: null })} />;
        })}
        {narrow.value && <SortMenu />}
      </div>
      <div class="tools-end">
        <RefreshButton busy={source.busy.value} onClick={() => void reload()} />
      </div>
    </div>
  );
}
