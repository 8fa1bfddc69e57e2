// Questions about an incident that several pages ask. Pure.

import type { Incident, Phase } from "@/api/types";
import type { Tone } from "@/ui/tone";

export const PHASES: readonly Phase[] = [
  "RECEIVED",
  "ANALYSING",
  "COUNCIL_REVIEW",
  "AWAITING_APPROVAL",
  "APPROVED",
  "EXECUTING",
  "SCALING",
  "VERIFYING",
  "RESOLVED",
  "FAILED",
  "DRY_RUN",
];

export function phaseOf(incident: Incident): Phase {
  return incident.status?.phase ?? "RECEIVED";
}

export function isOpen(incident: Incident): boolean {
  return !["RESOLVED", "FAILED", "DRY_RUN"].includes(phaseOf(incident));
}

export function toneOfPhase(phase: Phase): Tone {
  if (phase === "RESOLVED") return "ok";
  if (phase === "FAILED") return "bad";
  if (phase === "DRY_RUN") return "idle";
  return phase === "AWAITING_APPROVAL" ? "warn" : "info";
}

/** The id under which frames speak of it. */
export function frameId(incident: Incident): string {
  return incident.spec.source?.incidentId || incident.metadata.name;
}

export function beganAt(incident: Incident): string {
  return incident.status?.timeline?.[0]?.ts ?? incident.metadata.creationTimestamp ?? "";
}

export function endedAt(incident: Incident): string | undefined {
  return incident.status?.finishedAt ?? incident.status?.resolvedAt ?? undefined;
}

/** Newest first. */
export function newestFirst(incidents: Iterable<Incident>): Incident[] {
  const time = (incident: Incident) => Date.parse(beganAt(incident)) || 0;
  return [...incidents].sort((a, b) => time(b) - time(a));
}

/** Mean time from report to verified fix, of those resolved since `from`; milliseconds. */
export function meanTimeToResolve(
  incidents: Iterable<Incident>,
  from: number,
): { mean: number; count: number } | undefined {
  let total = 0;
  let count = 0;
  for (const incident of incidents) {
    const resolved = incident.status?.resolvedAt;
    if (!resolved || Date.parse(resolved) < from) continue;
    total += Date.parse(resolved) - Date.parse(beganAt(incident));
    count++;
  }
  return count > 0 ? { mean: total / count, count } : undefined;
}
