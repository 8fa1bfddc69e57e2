// Every incident, newest first, filtered by what the address says.

import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import type { Incident } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { beganAt, endedAt, newestFirst, phaseOf } from "@/model/incident";
import { spoken } from "@/model/words";
import { useAddress } from "@/ui/address";
import { Empty, Failure, Loading } from "@/ui/empty";
import { SearchBox, Select } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { PhaseChip, SeverityWord } from "@/ui/phase-chip";
import { between, duration } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";
import { VirtualList } from "@/ui/virtual-list";
import { crowdOf } from "./alerts";
import { matches, readFilters, SHOWS, workloadOf } from "./filters";
import { SilencedChip } from "./silenced";

export default function Incidents() {
  const [, setSearch] = useSearchParams();
  const [search, set] = useAddress();
  const filters = readFilters(search);
  const { data, error, refetch } = useObjects("Incident");
  const all = useMemo(() => newestFirst(data?.values() ?? []), [data]);
  const workloads = useMemo(() => [...new Set(all.map(workloadOf))].filter(Boolean).sort(), [all]);
  const found = all.filter((incident) => matches(incident, filters));
  return (
    <Page title="Incidents" fill>
      <div className="flex flex-wrap items-center gap-2">
        <div
          role="group"
          aria-label="Which incidents"
          className="flex flex-wrap rounded-md border bg-panel p-0.5"
        >
          {SHOWS.map(([show, name]) => (
            <button
              key={show}
              type="button"
              aria-pressed={filters.show === show}
              onClick={() => set("show", show === "all" ? "" : show)}
              className="h-7 rounded px-2.5 text-soft text-sm hover:text-ink aria-pressed:bg-accent-tint aria-pressed:font-medium aria-pressed:text-accent"
            >
              {name}
            </button>
          ))}
        </div>
        <Select
          aria-label="Workload"
          value={filters.workload}
          onChange={(event) => set("workload", event.target.value)}
          className="max-w-48"
        >
          <option value="">Every workload</option>
          {workloads.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </Select>
        <Select
          aria-label="Severity"
          value={filters.severity}
          onChange={(event) => set("severity", event.target.value)}
          className="max-w-48"
        >
          <option value="">Every severity</option>
          {["critical", "warning", "info"].map((severity) => (
            <option key={severity} value={severity}>
              {spoken(severity)}
            </option>
          ))}
        </Select>
        <SearchBox
          label="Search incidents"
          placeholder="Search"
          value={filters.text}
          onChange={(text) => set("q", text)}
        />
      </div>
      <Panel title={`${found.length} of ${all.length}`} note="newest first" className="min-h-0 flex-1" flush>
        {error && <Failure error={error} retry={() => void refetch()} />}
        {!data && !error && <Loading what="incidents" />}
        {data && found.length === 0 && (
          <None any={all.length > 0} clear={() => setSearch({}, { replace: true })} />
        )}
        {found.length > 0 && (
          <VirtualList
            label="Incidents"
            items={found}
            keyOf={(incident) => incident.metadata.name}
            rowHeight={56}
            className="h-full"
          >
            {(incident) => <Row incident={incident} />}
          </VirtualList>
        )}
      </Panel>
    </Page>
  );
}

function None({ any, clear }: { any: boolean; clear: () => void }) {
  if (!any) {
    return (
      <Empty icon="check" title="No incidents">
        When a container sends an alert, a detector fires, or somebody applies one, it appears here at once.
      </Empty>
    );
  }
  return (
    <Empty icon="search" title="No incident matches">
      <button type="button" onClick={clear} className="text-accent underline underline-offset-2">
        Clear the filters
      </button>
    </Empty>
  );
}

export function Row({ incident }: { incident: Incident }) {
  const proposal = incident.status?.analysis?.proposal;
  const began = beganAt(incident);
  const ended = endedAt(incident);
  const crowd = crowdOf(incident);
  return (
    <Link
      data-row
      to={`/incidents/${encodeURIComponent(incident.metadata.name)}`}
      className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 border-b px-4 py-2 hover:bg-hover focus-visible:-outline-offset-2 md:grid-cols-[9.500rem_minmax(0,1fr)_7rem_8rem_6rem]"
    >
      <span className="order-2 flex max-w-full flex-col items-end gap-1 justify-self-end md:order-none md:items-start md:justify-self-start">
        <PhaseChip phase={phaseOf(incident)} />
        <SilencedChip incident={incident} />
      </span>
      <span className="min-w-0">
        <span className="block truncate font-medium text-sm">
          {spoken(incident.spec.alertType)} <span className="font-normal text-faint">on</span>{" "}
          {workloadOf(incident) || "an unknown container"}
        </span>
        <span className="block truncate text-faint text-xs">
          {crowd && <span className="mr-2 font-medium text-soft tabular-nums">{crowd}</span>}
          {incident.status?.error ?? proposal?.rootCause ?? incident.metadata.name}
        </span>
      </span>
      <span className="hidden text-soft text-xs md:block">{proposal ? spoken(proposal.action) : "–"}</span>
      <span className="hidden md:block">
        <SeverityWord severity={incident.spec.severity} />
      </span>
      <span className="order-3 col-span-2 flex justify-between gap-2 text-faint text-xs md:col-span-1 md:block md:text-right">
        <TimeAgo at={began} className="md:block" />
        {ended && <span className="whitespace-nowrap">in {duration(between(began, ended))}</span>}
      </span>
    </Link>
  );
}
