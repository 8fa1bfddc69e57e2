// Questions about a workload that several pages ask. Pure.

import type { Condition, ConditionType, ContainerState, Instance, LoadBalancer, Workload } from "@/api/types";
import type { Tone } from "@/ui/tone";

export function condition(
  conditions: readonly Condition[] | undefined,
  type: ConditionType,
): Condition | undefined {
  return conditions?.find((candidate) => candidate.type === type);
}

export type Standing = { tone: Tone; word: string; busy: boolean; message: string };

/** How it stands: what its conditions amount to. */
export function standing(workload: Workload): Standing {
  const conditions = workload.status?.conditions;
  const is = (type: ConditionType) => condition(conditions, type)?.status === "True";
  const message = (type: ConditionType) => condition(conditions, type)?.message ?? "";
  if (workload.metadata.deletionTimestamp)
    return { tone: "warn", word: "Going", busy: true, message: "it is being removed" };
  if (is("Degraded")) return { tone: "bad", word: "Degraded", busy: false, message: message("Degraded") };
  if (is("Progressing"))
    return { tone: "info", word: "Progressing", busy: true, message: message("Progressing") };
  if (is("Ready")) return { tone: "ok", word: "Ready", busy: false, message: message("Ready") };
  if (!conditions?.length)
    return { tone: "idle", word: "New", busy: false, message: "the controller has not reconciled it yet" };
  return { tone: "warn", word: "Not ready", busy: false, message: message("Ready") };
}

export function toneOfHealth(instance: Instance): { tone: Tone; word: string } {
  if (instance.draining) return { tone: "warn", word: "Draining" };
  if (instance.health === "Healthy") return { tone: "ok", word: "Healthy" };
  if (instance.health === "Unhealthy") return { tone: "bad", word: "Unhealthy" };
  return { tone: "idle", word: isRunning(instance.state) ? "Not probed" : instance.state };
}

/** Whether a container runs; `state` may be missing, or of another version. */
export function isRunning(state: string | undefined): boolean {
  return state === ("running" satisfies ContainerState);
}

export function desired(workload: Workload): number {
  return workload.spec.replicas ?? 1;
}

/** The load balancer that sends it requests. */
export function balancerOf(workload: Workload, balancers: Iterable<LoadBalancer>): LoadBalancer | undefined {
  for (const balancer of balancers) {
    if (balancer.spec.backends.some((backend) => backend.workload === workload.metadata.name))
      return balancer;
  }
  return undefined;
}
