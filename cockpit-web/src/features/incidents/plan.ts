// What a plan changes, as two texts. Pure.

import { stringify } from "yaml";
import type { Incident, Plan, Workload } from "@/api/types";
import { desired } from "@/model/workload";

/** The fields that the plan sets, before and after. What they were is known while the workload is as it was. */
export function planTexts(
  plan: Plan,
  incident: Incident,
  workload: Workload | undefined,
): { before: string; after: string } {
  const patch = plan.patch;
  const asItWas = workload?.metadata.generation === plan.parentGeneration ? workload : undefined;
  const replicas = asItWas ? desired(asItWas) : incident.status?.evidence?.desiredReplicas;
  const before: Record<string, unknown> = {};
  const after: Record<string, unknown> = {};
  if (patch.replicas != null) {
    before.replicas = replicas;
    after.replicas = patch.replicas;
  }
  if (patch.restartedAt != null) {
    before.restartedAt = asItWas?.spec.restartedAt;
    after.restartedAt = patch.restartedAt;
  }
  if (patch.template != null) {
    before.template = asItWas?.spec.template;
    after.template = patch.template;
  }
  return { before: text(before), after: text(after) };
}

function text(fields: Record<string, unknown>): string {
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
  return Object.keys(given).length > 0 ? stringify({ spec: given }) : "";
}
