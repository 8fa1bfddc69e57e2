// One workload: what it has, what it ran before, and what can be done with it.

import { useMemo } from "react";
import { Link, useParams } from "react-router";
import type { ConditionType, Workload } from "@/api/types";
import { PauseControl } from "@/features/automation/dialogs";
import { ContainerFacts } from "@/features/evidence/container-facts";
import { useMetrics, useObjects } from "@/live/hooks";
import { beganAt, newestFirst, phaseOf } from "@/model/incident";
import { spoken } from "@/model/words";
import { balancerOf, desired, standing, toneOfHealth } from "@/model/workload";
import { Fact, Facts, Mono } from "@/ui/data";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Meter } from "@/ui/meter";
import { Page, Panel } from "@/ui/panel";
import { PhaseChip } from "@/ui/phase-chip";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";
import { AutoscalePanel, RequestsPanel } from "./autoscale-panel";
import { Controls } from "./controls";
import { LoadPanel } from "./load-panel";

export default function WorkloadPage() {
  const { name = "" } = useParams();
  const { data, error, refetch } = useObjects("Workload");
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the workload" />;
  const workload = data.get(name);
  if (!workload) {
    return (
      <Empty icon="search" title="There is no such workload">
        <Link to="/workloads" className="text-accent underline underline-offset-2">
          See those there are
        </Link>
      </Empty>
    );
  }
  return <WorkloadView workload={workload} />;
}

export function WorkloadView({ workload }: { workload: Workload }) {
  const { tone, word, busy, message } = standing(workload);
  const { name } = workload.metadata;
  return (
    <Page
      title={
        <span className="flex flex-wrap items-center gap-3">
          <span className="break-all">{name}</span>
          <StateChip tone={tone} word={word} busy={busy} />
        </span>
      }
      note={message}
      actions={
        <>
          <PauseControl workload={name} />
          <Controls workload={workload} />
        </>
      }
    >
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1.700fr)_minmax(0,1fr)]">
        <div className="min-w-0 space-y-4">
          <Containers workload={workload} />
          <AutoscalePanel workload={workload} />
          <RequestsPanel name={name} />
          <LoadPanel workload={workload} />
          <Revisions workload={workload} />
          <Captures workload={workload} />
        </div>
        <div className="min-w-0 space-y-4">
          <Spec workload={workload} />
          <Needs workload={workload} />
          <Conditions workload={workload} />
          <Incidents name={name} />
        </div>
      </div>
    </Page>
  );
}

function Containers({ workload }: { workload: Workload }) {
  const { data: metrics } = useMetrics();
  const instances = [...(workload.status?.instances ?? [])].sort((a, b) => a.index - b.index);
  const ready = workload.status?.readyReplicas ?? 0;
  return (
    <Panel title="Containers" note={`${ready} of ${desired(workload)} ready`} flush>
      {instances.length === 0 && (
        <Empty icon="workload" title="No containers">
          {workload.spec.container
            ? `There is no container called ${workload.spec.container} yet: start it, and it is adopted.`
            : "The controller is about to make them."}
        </Empty>
      )}
      <ul aria-label="Containers">
        {instances.map((instance) => {
          const { tone, word } = toneOfHealth(instance);
          const load = metrics?.find((row) => row.name === instance.name);
          return (
            <li
              key={instance.id}
              data-instance={instance.name}
              className="grid grid-cols-[minmax(0,1fr)_auto] gap-x-4 gap-y-1.5 border-b px-4 py-2.5 last:border-b-0 sm:grid-cols-[minmax(0,1fr)_8rem_8rem_auto]"
            >
              <div className="min-w-0">
                <p className="truncate font-medium text-sm">
                  {instance.name}
                  {workload.spec.container && instance.index === 0 && (
                    <span className="ml-2 font-normal text-faint text-xs">adopted</span>
                  )}
                </p>
                <p className="text-faint text-xs">
                  <Mono title={instance.id}>{instance.id.slice(0, 12)}</Mono> · {instance.state}
                  {instance.startedAt && (
                    <>
                      {" "}
                      since <TimeAgo at={instance.startedAt} />
                    </>
                  )}
                  {instance.restarts ? ` · ${instance.restarts} restarts after a crash` : ""}
                  {" · "}
                  <Mono>{Object.values(instance.addresses ?? {}).join(", ") || "no address"}</Mono>
                </p>
              </div>
              <div className="order-3 sm:order-none">
                {load && (
                  <Meter
                    name={`CPU of ${instance.name}`}
                    percent={load.cpu_percent}
                    words={`${load.cpu_percent.toFixed(1)} % CPU`}
                  />
                )}
              </div>
              <div className="order-4 sm:order-none">
                {load && (
                  <Meter
                    name={`Memory of ${instance.name}`}
                    percent={load.memory_percent}
                    words={`${load.memory_mb.toFixed(0)} of ${load.memory_limit_mb.toFixed(0)} MiB`}
                    alarm={85}
                  />
                )}
              </div>
              <div className="justify-self-end">
                <StateChip tone={tone} word={word} title={instance.message ?? undefined} />
              </div>
              {instance.message && (
                <p className="order-5 col-span-full break-words text-warn text-xs">{instance.message}</p>
              )}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

function Revisions({ workload }: { workload: Workload }) {
  const revisions = (workload.status?.revisions ?? []).toReversed();
  return (
    <Panel title="Revisions" note="newest first" flush>
      {revisions.length === 0 && <Empty icon="clock" title="None seen yet" />}
      <ul>
        {revisions.map((revision) => (
          <li
            key={revision.revision}
            className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0"
          >
            <Mono>{revision.revision}</Mono>
            <Mono className="min-w-40 flex-1 text-soft text-xs">{revision.image}</Mono>
            <TimeAgo at={revision.createdAt} className="text-faint text-xs" />
            {revision.revision === workload.status?.revision && (
              <StateChip tone="info" icon="check" word="Current" />
            )}
            <StateChip
              plain
              tone={revision.wasReady ? "ok" : "idle"}
              word={revision.wasReady ? "was ready" : "never ready"}
            />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** What sick containers looked like before they were restarted, newest first. */
function Captures({ workload }: { workload: Workload }) {
  const captures = (workload.status?.captures ?? []).toReversed();
  if (captures.length === 0) return null;
  return (
    <Panel title="Before restarts" note="what was seen before a sick container was restarted" flush>
      <ul>
        {captures.map(({ container = {}, because, takenAt, gaps }) => (
          <li key={`${container.name} ${takenAt}`} className="border-b px-4 py-2.5 last:border-b-0">
            <details>
              <summary className="break-words text-sm">
                {container.name}
                <span className="text-soft"> {because}</span>
                {takenAt && (
                  <span className="text-faint text-xs">
                    {" "}
                    <TimeAgo at={takenAt} />
                  </span>
                )}
              </summary>
              <div className="mt-3 space-y-3">
                <ContainerFacts container={container} />
                {gaps?.map((gap) => (
                  <p key={gap} className="text-sm text-warn">
                    Not collected: {gap}
                  </p>
                ))}
              </div>
            </details>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** What this workload needs, and whether that is well. */
function Needs({ workload }: { workload: Workload }) {
  const dependencies = workload.status?.dependencies ?? [];
  if (dependencies.length === 0) return null;
  return (
    <Panel title="Needs" note="while one is not well, nothing here is restarted for its own sake" flush>
      <ul>
        {dependencies.map((needed) => (
          <li
            key={needed.name}
            className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b px-4 py-2 text-sm last:border-b-0"
          >
            <span className="min-w-0 flex-1 break-all">
              {needed.workload ? (
                <Link
                  to={`/workloads/${encodeURIComponent(needed.workload)}`}
                  className="text-accent hover:underline"
                >
                  {needed.name}
                </Link>
              ) : (
                needed.name
              )}
            </span>
            <StateChip
              plain
              tone={needed.trouble ? "bad" : "ok"}
              word={needed.trouble ? "not well" : "well"}
            />
            {needed.trouble && <p className="basis-full break-words text-warn text-xs">{needed.trouble}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Spec({ workload }: { workload: Workload }) {
  const { data } = useObjects("LoadBalancer");
  const balancer = balancerOf(workload, data?.values() ?? []);
  const { spec, metadata } = workload;
  const probe = spec.health?.http
    ? `GET :${spec.health.http.port}${spec.health.http.path ?? "/"}`
    : spec.health?.tcp
      ? `TCP :${spec.health.tcp.port}`
      : spec.health?.docker
        ? "Docker's health check"
        : "none";
  return (
    <Panel
      title="Desired state"
      actions={
        <Link
          to={`/manifests/Workload/${encodeURIComponent(metadata.name)}`}
          className="text-accent text-xs hover:underline"
        >
          Edit the manifest
        </Link>
      }
    >
      <Facts>
        <Fact name="Replicas">{desired(workload)}</Fact>
        <Fact name={spec.container ? "Adopts" : "Runs"}>
          <Mono>{spec.container ?? spec.template?.image}</Mono>
        </Fact>
        <Fact name="Probe">
          <Mono>{probe}</Mono> {spec.health && `every ${spec.health.interval ?? "2s"}`}
        </Fact>
        <Fact name="Strategy">
          {spec.strategy?.type ?? "RollingUpdate"}, surge {spec.strategy?.maxSurge ?? 1}, out of service{" "}
          {spec.strategy?.maxUnavailable ?? 1}
        </Fact>
        {spec.autoscale && (
          <Fact name="Scales by load">
            {spec.autoscale.min} to {spec.autoscale.max}
          </Fact>
        )}
        {spec.restartedAt && (
          <Fact name="Restart requested">
            <TimeAgo at={spec.restartedAt} />
          </Fact>
        )}
        <Fact name="Load balancer">
          {balancer ? (
            <Link
              to={`/load-balancers/${encodeURIComponent(balancer.metadata.name)}`}
              className="text-accent hover:underline"
            >
              {balancer.metadata.name}
            </Link>
          ) : (
            "none names it"
          )}
        </Fact>
        <Fact name="Generation">
          {metadata.generation}
          {workload.status?.observedGeneration !== metadata.generation && (
            <span className="text-warn"> (not taken up yet)</span>
          )}
        </Fact>
      </Facts>
    </Panel>
  );
}

const WANTED: Partial<Record<ConditionType, string>> = {
  Ready: "True",
  Progressing: "False",
  Degraded: "False",
};

function Conditions({ workload }: { workload: Workload }) {
  const conditions = workload.status?.conditions ?? [];
  return (
    <Panel title="Conditions" flush>
      {conditions.length === 0 && <Empty icon="clock" title="None yet" />}
      <ul>
        {conditions.map((one) => {
          const wanted = WANTED[one.type as ConditionType];
          const good = wanted === undefined || wanted === one.status;
          return (
            <li
              key={one.type}
              className="grid grid-cols-[7rem_minmax(0,1fr)_auto] items-baseline gap-3 border-b px-4 py-2 text-sm last:border-b-0"
            >
              <StateChip plain tone={good ? "ok" : "warn"} word={one.type} />
              <span className="min-w-0 break-words text-soft text-xs">{one.message || one.reason}</span>
              <span className="text-faint text-xs">
                {one.status} · <TimeAgo at={one.lastTransitionTime} />
              </span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

function Incidents({ name }: { name: string }) {
  const { data } = useObjects("Incident");
  const own = useMemo(
    () =>
      newestFirst(
        [...(data?.values() ?? [])].filter(
          (incident) => (incident.status?.workload ?? incident.spec.workloadRef) === name,
        ),
      ),
    [data, name],
  );
  return (
    <Panel title="Incidents" note={own.length > 8 ? `the latest 8 of ${own.length}` : undefined} flush>
      {own.length === 0 && <Empty icon="check" title="None" />}
      <ul>
        {own.slice(0, 8).map((incident) => (
          <li key={incident.metadata.name} className="border-b last:border-b-0">
            <Link
              to={`/incidents/${encodeURIComponent(incident.metadata.name)}`}
              className="flex items-center gap-3 px-4 py-2 text-sm hover:bg-hover focus-visible:-outline-offset-2"
            >
              <span className="min-w-0 flex-1 truncate">{spoken(incident.spec.alertType)}</span>
              <TimeAgo at={beganAt(incident)} className="text-faint text-xs" />
              <PhaseChip phase={phaseOf(incident)} />
            </Link>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
