// What the dialogs of a workload ask for. Pure.

import type { Revision, Workload } from "@/api/types";

/** Why there is nothing to go back to. */
export function rollbackBlocked(workload: Workload): string | undefined {
  if (workload.spec.container) {
    return "It adopts a container, whose configuration belongs to its creator.";
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
