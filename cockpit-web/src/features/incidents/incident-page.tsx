// One incident, from the alert to the proof.

import { Link, useParams } from "react-router";
import type { Incident } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { beganAt, endedAt, phaseOf } from "@/model/incident";
import { spoken } from "@/model/words";
import { useNow } from "@/ui/clock";
import { Mono } from "@/ui/data";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Page } from "@/ui/panel";
import { PhaseChip, SeverityWord } from "@/ui/phase-chip";
import { between, duration } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";
import { AlertsPanel } from "./alerts-panel";
import { CouncilPanel } from "./council-panel";
import { EvidencePanel } from "./evidence-panel";
import { workloadOf } from "./filters";
import { PlanPanel } from "./plan-panel";
import { ReasoningPanel } from "./reasoning-panel";
import { SilencedNote } from "./silenced";
import { SimilarPanel } from "./similar-panel";
import { Stepper } from "./stepper";
import { TimelinePanel } from "./timeline-panel";
import { VerificationPanel } from "./verification-panel";

export default function IncidentPage() {
  const { name = "" } = useParams();
  const { data, error, refetch } = useObjects("Incident");
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the incident" />;
  const incident = data.get(name);
  if (!incident) {
    return (
      <Empty icon="search" title="There is no such incident">
        Finished incidents are kept for 30 days.{" "}
        <Link to="/incidents" className="text-accent underline underline-offset-2">
          See those there are
        </Link>
        .
      </Empty>
    );
  }
  return <IncidentView incident={incident} />;
}

export function IncidentView({ incident }: { incident: Incident }) {
  const workload = workloadOf(incident);
  const count = incident.spec.count ?? 1;
  return (
    <Page
      title={
        <>
          {spoken(incident.spec.alertType)} on {workload || "an unknown container"}
        </>
      }
      note={<Mono className="text-xs">{incident.metadata.name}</Mono>}
      actions={
        <span className="flex flex-wrap items-center gap-3 text-faint text-sm">
          <SeverityWord severity={incident.spec.severity} />
          {count > 1 && <span>reported {count} times</span>}
          <span>
            <TimeAgo at={beganAt(incident)} />, <Elapsed incident={incident} />
          </span>
          <PhaseChip phase={phaseOf(incident)} />
        </span>
      }
    >
      <SilencedNote incident={incident} />
      <Stepper incident={incident} />
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1.700fr)_minmax(0,1fr)]">
        <div className="min-w-0 space-y-4">
          <ReasoningPanel incident={incident} />
          <CouncilPanel incident={incident} />
          <PlanPanel incident={incident} />
          <VerificationPanel incident={incident} />
        </div>
        <div className="min-w-0 space-y-4">
          <TimelinePanel incident={incident} />
          <AlertsPanel incident={incident} />
          <SimilarPanel incident={incident} />
          <EvidencePanel incident={incident} />
        </div>
      </div>
    </Page>
  );
}

function Elapsed({ incident }: { incident: Incident }) {
  const now = useNow();
  const ended = endedAt(incident);
  const began = beganAt(incident);
  if (ended) return <span>took {duration(between(began, ended))}</span>;
  return <span>open for {duration(Math.max(0, now - Date.parse(began)))}</span>;
}
