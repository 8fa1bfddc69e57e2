// The host on one page: what a wall screen shows.

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { request } from "@/api/request";
import type { ContainerMetrics, Incident, KubeEvent, Workload } from "@/api/types";
import { PauseControl } from "@/features/automation/dialogs";
import { useLog, useMetrics, useObjects } from "@/live/hooks";
import { beganAt, isOpen, meanTimeToResolve, newestFirst, phaseOf } from "@/model/incident";
import { spoken, words } from "@/model/words";
import { desired, standing } from "@/model/workload";
import { Stat } from "@/ui/data";
import { Empty, Loading } from "@/ui/empty";
import { Meter } from "@/ui/meter";
import { Page, Panel } from "@/ui/panel";
import { PhaseChip } from "@/ui/phase-chip";
import { StateChip } from "@/ui/state-chip";
import { duration } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";
import { TONE_TEXT, type Tone } from "@/ui/tone";

const TICKER_ROWS = 40;

export function Overview() {
  const { data: incidents } = useObjects("Incident");
  const { data: workloads } = useObjects("Workload");
  const { data: metrics } = useMetrics();
  return (
    <Page title="Overview" actions={<PauseControl />}>
      <Numbers
        incidents={[...(incidents?.values() ?? [])]}
        workloads={[...(workloads?.values() ?? [])]}
        known={Boolean(incidents && workloads)}
      />
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1.600fr)_minmax(0,1fr)]">
        <div className="min-w-0 space-y-4">
          <LatestIncidents incidents={incidents && newestFirst(incidents.values())} />
          <WorkloadList workloads={workloads && [...workloads.values()]} />
          <Containers rows={metrics} />
        </div>
        <Ticker />
      </div>
    </Page>
  );
}

function Numbers({
  incidents,
  workloads,
  known,
}: {
  incidents: Incident[];
  workloads: Workload[];
  known: boolean;
}) {
  const open = incidents.filter(isOpen);
  const waiting = open.filter((incident) => phaseOf(incident) === "AWAITING_APPROVAL").length;
  const sick = workloads.filter((workload) => ["bad", "warn"].includes(standing(workload).tone)).length;
  const ready = workloads.reduce((sum, workload) => sum + (workload.status?.readyReplicas ?? 0), 0);
  const wanted = workloads.reduce((sum, workload) => sum + desired(workload), 0);
  const today = new Date().setHours(0, 0, 0, 0);
  const mttr = meanTimeToResolve(incidents, today);
  const failed = incidents.filter(
    (incident) => phaseOf(incident) === "FAILED" && Date.parse(beganAt(incident)) >= today,
  ).length;
  const health: [string, Tone] = !known
    ? ["…", "idle"]
    : sick > 0
      ? ["Degraded", "bad"]
      : open.length > 0
        ? ["Healing", "warn"]
        : ["Healthy", "ok"];
  return (
    <div className="grid grid-cols-2 gap-3 max-md:[&>:first-child]:col-span-2 md:grid-cols-3 xl:grid-cols-5">
      <Stat
        label="Host"
        value={health[0]}
        tone={TONE_TEXT[health[1]]}
        note={
          known
            ? sick > 0
              ? `${sick} of ${workloads.length} workloads`
              : `${workloads.length} workload${workloads.length === 1 ? "" : "s"} looked after`
            : "asking"
        }
      />
      <Stat
        label="Open incidents"
        value={open.length}
        tone={open.length > 0 ? "text-bad" : ""}
        note={waiting > 0 ? `${waiting} need${waiting === 1 ? "s" : ""} approval` : "none waits for you"}
      />
      <Stat
        label="Replicas ready"
        value={`${ready} / ${wanted}`}
        tone={ready < wanted ? "text-warn" : ""}
        note={ready < wanted ? `${wanted - ready} missing` : "as desired"}
      />
      <Stat
        label="Mean time to resolve, today"
        value={mttr ? duration(mttr.mean) : "–"}
        note={mttr ? `over ${mttr.count}` : "nothing to resolve"}
      />
      <Stat
        label="Failed today"
        value={failed}
        tone={failed > 0 ? "text-bad" : ""}
        note={failed > 0 ? "needs attention" : "none failed"}
      />
    </div>
  );
}

function More({ to, children }: { to: string; children: string }) {
  return (
    <Link to={to} className="rounded text-accent text-xs hover:underline">
      {children}
    </Link>
  );
}

function LatestIncidents({ incidents }: { incidents: Incident[] | undefined }) {
  const open = incidents?.filter(isOpen) ?? [];
  const shown = [...open, ...(incidents?.filter((incident) => !isOpen(incident)) ?? [])].slice(
    0,
    Math.max(6, Math.min(open.length, 12)),
  );
  return (
    <Panel
      title="Incidents"
      note="open ones first"
      actions={<More to="/incidents">All incidents</More>}
      flush
    >
      {!incidents && <Loading what="incidents" />}
      {incidents?.length === 0 && (
        <Empty icon="check" title="No incidents">
          Try it: <code className="font-mono">make demo</code> fills the patient's memory, and you can watch
          it being healed here.
        </Empty>
      )}
      <ul>
        {shown.map((incident) => (
          <li key={incident.metadata.name} className="border-b last:border-b-0">
            <Link
              data-row
              to={`/incidents/${encodeURIComponent(incident.metadata.name)}`}
              className="flex items-center gap-3 px-4 py-2 hover:bg-hover focus-visible:-outline-offset-2"
            >
              <span className="min-w-0 flex-1">
                <span className="block truncate font-medium text-sm">{spoken(incident.spec.alertType)}</span>
                <span className="block truncate text-faint text-xs">
                  {incident.status?.workload ?? incident.spec.workloadRef ?? incident.spec.containerName}
                  {incident.status?.analysis && ` · ${spoken(incident.status.analysis.proposal.action)}`}
                </span>
              </span>
              <TimeAgo at={beganAt(incident)} className="hidden text-faint text-xs sm:block" />
              <PhaseChip phase={phaseOf(incident)} />
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function WorkloadList({ workloads }: { workloads: Workload[] | undefined }) {
  return (
    <Panel title="Workloads" actions={<More to="/workloads">All workloads</More>} flush>
      {!workloads && <Loading what="workloads" />}
      {workloads?.length === 0 && (
        <Empty icon="workload" title="No workloads">
          Say what is to be looked after:{" "}
          <code className="font-mono">aegisctl apply -f examples/quickstart</code>, or write one under{" "}
          <Link to="/manifests" className="text-accent underline underline-offset-2">
            Manifests
          </Link>
          .
        </Empty>
      )}
      <ul>
        {workloads?.map((workload) => {
          const { tone, word, busy, message } = standing(workload);
          return (
            <li key={workload.metadata.name} className="border-b last:border-b-0">
              <Link
                data-row
                to={`/workloads/${encodeURIComponent(workload.metadata.name)}`}
                className="flex items-center gap-3 px-4 py-2 hover:bg-hover focus-visible:-outline-offset-2"
              >
                <span className="min-w-0 flex-1">
                  <span className="block truncate font-medium text-sm">{workload.metadata.name}</span>
                  <span className="block truncate text-faint text-xs">{message}</span>
                </span>
                <span className="text-sm tabular-nums">
                  {workload.status?.readyReplicas ?? 0} / {desired(workload)}
                  <span className="sr-only"> ready</span>
                </span>
                <StateChip tone={tone} word={word} busy={busy} />
              </Link>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

function Containers({ rows }: { rows: ContainerMetrics[] | undefined }) {
  const busiest = [...(rows ?? [])].sort((a, b) => b.memory_percent - a.memory_percent).slice(0, 8);
  return (
    <Panel
      title="Containers"
      note={rows ? `${rows.length} running; fullest first` : undefined}
      actions={<More to="/metrics">Metrics</More>}
      flush
    >
      {!rows && <Loading what="load" />}
      <ul>
        {busiest.map((row) => (
          <li
            key={row.name}
            className="grid grid-cols-[minmax(0,1fr)_8rem] items-center gap-x-4 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0 sm:grid-cols-[minmax(0,1fr)_9rem_9rem]"
          >
            <span className="truncate">{row.name}</span>
            <Meter
              name={`CPU of ${row.name}`}
              percent={row.cpu_percent}
              words={`${row.cpu_percent.toFixed(1)} % CPU`}
            />
            <Meter
              name={`Memory of ${row.name}`}
              percent={row.memory_percent}
              words={`${row.memory_mb.toFixed(0)} MiB`}
              className="hidden sm:block"
              alarm={85}
            />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type Line = { key: string; at: string; what: string; about: string; text: string; tone: Tone };

function Ticker() {
  const log = useLog();
  const { data } = useQuery({
    queryKey: ["events"],
    queryFn: ({ signal }) => request<{ items: KubeEvent[] }>("/api/v1/events", { signal }),
  });
  const live: Line[] = [];
  for (let index = log.length - 1; index >= 0 && live.length < TICKER_ROWS; index--) {
    const entry = log[index];
    const type = entry?.frame?.type;
    if (!entry?.frame || type === "resource" || type === "reconcile" || type === "ai.stream") continue;
    live.push({ key: `f${entry.id}`, at: entry.frame.timestamp, ...words(entry.frame) });
  }
  const earlier: Line[] = (data?.items ?? [])
    .slice(-TICKER_ROWS)
    .reverse()
    .map((event) => ({
      key: event.metadata.name,
      at: event.lastTimestamp,
      what: spoken(event.reason),
      about: `${event.involvedObject.kind} ${event.involvedObject.name}`,
      text: event.message,
      tone: event.type === "Warning" ? "warn" : "idle",
    }));
  const shown = [...live, ...earlier].slice(0, TICKER_ROWS);
  return (
    <Panel title="What happens" actions={<More to="/events">All events</More>} flush>
      {shown.length === 0 && (
        <Empty icon="events" title="Quiet">
          What the controller does appears here as it happens.
        </Empty>
      )}
      <ul aria-label="Latest events">
        {shown.map(({ key, at, what, about, text, tone }) => (
          <li key={key} className="border-b px-4 py-1.5 text-xs last:border-b-0">
            <div className="flex items-baseline gap-2">
              <span className={`font-medium ${tone === "idle" ? "text-soft" : TONE_TEXT[tone]}`}>{what}</span>
              <span className="min-w-0 flex-1 truncate text-faint">{about}</span>
              <TimeAgo at={at} className="text-faint" />
            </div>
            <p className="line-clamp-2 break-words text-soft">{text}</p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
