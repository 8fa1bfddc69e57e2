// What a plan changes, in words and as two texts. Pure.

import { stringify } from "yaml";
import type { Incident, LoadBalancer, Plan, Workload } from "@/api/types";
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

/** What carrying it out means for those who use the workload. */
export function consequence(
  plan: Plan,
  workload: Workload | undefined,
  balancer: LoadBalancer | undefined,
): string {
  const name = plan.target;
  const now = workload ? desired(workload) : undefined;
  const drained = balancer
    ? ` ${balancer.metadata.name} drains each before it stops.`
    : " No load balancer stands before it, so requests to it may fail meanwhile.";
  switch (plan.action) {
    case "RESTART":
      return `${count(now, "container")} of ${name} will be restarted.${now && now > 1 ? drained : ` While its one container starts, ${name} does not answer.`}`;
    case "SCALE_UP":
      return `${name} goes from ${now ?? "?"} to ${plan.patch.replicas ?? "?"} replicas; new ones get requests when their probe passes.`;
    case "SCALE_DOWN":
      return `${name} goes from ${now ?? "?"} to ${plan.patch.replicas ?? "?"} replicas.${drained}`;
    case "ROLLBACK":
      return `${name} goes back to an earlier template; its containers are replaced step by step.`;
    case "NOOP":
      return `Nothing is changed; ${name} is probed, and that is the proof.`;
  }
}

function count(number: number | undefined, what: string): string {
  if (number === undefined) return `Every ${what}`;
  return number === 1 ? `The one ${what}` : `All ${number} ${what}s`;
}
