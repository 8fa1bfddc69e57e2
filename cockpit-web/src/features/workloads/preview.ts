// What a change of a workload will do, said before it is made. Pure.

import type { Instance, LoadBalancer, Revision, Workload } from "@/api/types";
import { desired } from "@/model/workload";

export type Preview = { summary: string; lines: string[] };

/** Which containers go when fewer are wanted: draining ones first, then unready ones, then the highest. Never the adopted. */
export function surplus(workload: Workload, wanted: number): Instance[] {
  const instances = workload.status?.instances ?? [];
  const removable = instances.filter((instance) => !(workload.spec.container && instance.index === 0));
  const rank = (instance: Instance) => (instance.draining ? 0 : instance.health === "Healthy" ? 2 : 1);
  const ordered = [...removable].sort((a, b) => rank(a) - rank(b) || b.index - a.index);
  return ordered.slice(0, Math.max(0, instances.length - wanted));
}

/** Names of the containers that will be made. */
export function additions(workload: Workload, wanted: number): string[] {
  const used = new Set((workload.status?.instances ?? []).map((instance) => instance.index));
  const base = workload.spec.container ?? workload.metadata.name;
  const names: string[] = [];
  const missing = wanted - (workload.status?.instances?.length ?? 0);
  for (let index = 1; names.length < missing && index < 1000; index++) {
    if (!used.has(index)) names.push(`${base}-replica-${index}`);
  }
  return names;
}

function drains(balancer: LoadBalancer | undefined): string {
  if (!balancer) return "No load balancer stands before it: open requests to what stops are cut off.";
  const timeout = balancer.spec.drainTimeout ?? "10s";
  return `${balancer.metadata.name} sends nothing new to what stops, and waits up to ${timeout} for open requests.`;
}

export function scalePreview(
  workload: Workload,
  wanted: number,
  balancer: LoadBalancer | undefined,
): Preview {
  const now = desired(workload);
  if (wanted < now) {
    const gone = surplus(workload, wanted).map((instance) => instance.name);
    const lines = gone.map((name) => `${name} stops and is removed`);
    return {
      summary: `${now - wanted} of ${now} replicas will stop after draining.`,
      lines: [...lines, drains(balancer)],
    };
  }
  const made = additions(workload, wanted).map((name) => `${name} is made`);
  const admitted = balancer
    ? `${balancer.metadata.name} sends them requests as soon as their probe passes.`
    : "No load balancer stands before it, so nothing sends them requests by itself.";
  return { summary: `${wanted - now} more of ${wanted} replicas will be made.`, lines: [...made, admitted] };
}

export function restartPreview(workload: Workload, balancer: LoadBalancer | undefined): Preview {
  const names = (workload.status?.instances ?? []).map((instance) => instance.name);
  const alone = names.length <= 1;
  const lines = names.map((name) => `${name} is restarted`);
  const meanwhile = alone
    ? `While its one container starts, ${workload.metadata.name} does not answer.`
    : `At most ${workload.spec.strategy?.maxUnavailable ?? 1} at a time. ${drains(balancer)}`;
  return {
    summary: alone
      ? "The one container will be restarted."
      : `All ${names.length} containers will be restarted.`,
    lines: [...lines, meanwhile],
  };
}

export function rollbackPreview(workload: Workload, to: Revision): Preview {
  const count = workload.status?.instances?.length ?? 0;
  return {
    summary: `${workload.metadata.name} goes back to revision ${to.revision}.`,
    lines: [
      `Image ${to.image}`,
      `${count === 1 ? "Its one container is" : `Its ${count} containers are`} replaced step by step; each new one must pass its probe first.`,
      to.wasReady ? "All replicas were once ready on it." : "Not all replicas were ever ready on it.",
    ],
  };
}

/** Why there is nothing to go back to. */
export function rollbackBlocked(workload: Workload): string | undefined {
  if (workload.spec.container) {
    return "It adopts a container, whose configuration belongs to whoever made it.";
  }
  return earlier(workload).length > 0 ? undefined : "There is no earlier revision with a template.";
}

/** Revisions to go back to, newest first. */
export function earlier(workload: Workload): Revision[] {
  const current = workload.status?.revision;
  const others = (workload.status?.revisions ?? []).filter(
    (revision) => revision.revision !== current && revision.template,
  );
  return others.toReversed();
}

/** A moment after every start so far, whosever clock is behind: what started before it is restarted. */
export function restartInstant(workload: Workload, now: Date): string {
  const starts = (workload.status?.instances ?? []).map(
    (instance) => Date.parse(instance.startedAt ?? "") + 1,
  );
  const latest = Math.max(now.getTime(), ...starts.filter((start) => !Number.isNaN(start)).map(Math.ceil));
  return new Date(latest).toISOString();
}
