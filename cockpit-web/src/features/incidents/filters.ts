// Which incidents a list shows. Pure; the choice lives in the address.

import type { Incident } from "@/api/types";
import { isOpen, phaseOf } from "@/model/incident";

export type Show = "all" | "open" | "approval" | "resolved" | "failed" | "dry-run";

export type Filters = { show: Show; workload: string; severity: string; text: string };

export const SHOWS: readonly [Show, string][] = [
  ["all", "All"],
  ["open", "Open"],
  ["approval", "Need approval"],
  ["resolved", "Resolved"],
  ["failed", "Failed"],
  ["dry-run", "Dry runs"],
];

export function readFilters(search: URLSearchParams): Filters {
  const show = SHOWS.find(([name]) => name === search.get("show"))?.[0] ?? "all";
  const text = (name: string) => search.get(name) ?? "";
  return { show, workload: text("workload"), severity: text("severity"), text: text("q") };
}

export function workloadOf(incident: Incident): string {
  return incident.status?.workload ?? incident.spec.workloadRef ?? incident.spec.containerName ?? "";
}

function shown(incident: Incident, show: Show): boolean {
  switch (show) {
    case "all":
      return true;
    case "open":
      return isOpen(incident);
    case "approval":
      return phaseOf(incident) === "AWAITING_APPROVAL";
    case "resolved":
      return phaseOf(incident) === "RESOLVED";
    case "failed":
      return phaseOf(incident) === "FAILED";
    case "dry-run":
      return phaseOf(incident) === "DRY_RUN";
  }
}

export function matches(incident: Incident, { show, workload, severity, text }: Filters): boolean {
  if (!shown(incident, show)) return false;
  if (workload && workloadOf(incident) !== workload) return false;
  if (severity && (incident.spec.severity ?? "warning") !== severity) return false;
  if (!text) return true;
  const proposal = incident.status?.analysis?.proposal;
  const where = [
    incident.metadata.name,
    incident.spec.alertType,
    workloadOf(incident),
    proposal?.rootCause,
    proposal?.action,
  ];
  const wanted = text.toLowerCase();
  return where.some((words) => words?.toLowerCase().includes(wanted));
}
