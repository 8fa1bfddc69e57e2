// How detectors stand: firing, pending, quiet, not measured. Pure.

import type { Detector, DetectorWorkload } from "@/api/types";
import { condition } from "@/model/workload";
import type { IconName } from "@/ui/icon";
import type { Tone } from "@/ui/tone";

export type State = "firing" | "pending" | "quiet" | "unmeasured";

export const STATES: Record<State, { word: string; tone: Tone; icon: IconName }> = {
  firing: { word: "Firing", tone: "bad", icon: "incident" },
  pending: { word: "Pending", tone: "warn", icon: "clock" },
  unmeasured: { word: "Not measured", tone: "idle", icon: "idle" },
  quiet: { word: "Quiet", tone: "ok", icon: "check" },
};

/** The gravest first. */
export const ORDER = Object.keys(STATES) as State[];

export function stateOfRow({ firing, condition }: DetectorWorkload): State {
  if (firing) return "firing";
  if (condition === "True") return "pending";
  return condition === "False" ? "quiet" : "unmeasured";
}

/** That of the gravest row; where nothing is known of any, nothing is known. */
export function stateOf({ status }: Detector): State {
  const rows = (status?.workloads ?? []).map(stateOfRow);
  if ((status?.firing ?? 0) > 0 || rows.includes("firing")) return "firing";
  if (rows.includes("pending")) return "pending";
  return rows.includes("quiet") ? "quiet" : "unmeasured";
}

/** Why nothing is known of it. */
export function whyUnmeasured({ status }: Detector): string {
  if (!status) return "it was not evaluated yet";
  if ((status.workloads ?? []).length === 0) return "it watches no workload that there is";
  return condition(status.conditions, "Ready")?.message || "nothing could be measured";
}

export function byGravity(a: Detector, b: Detector): number {
  return (
    ORDER.indexOf(stateOf(a)) - ORDER.indexOf(stateOf(b)) || a.metadata.name.localeCompare(b.metadata.name)
  );
}

/** Rows in the order of a page: what fires, what waits, then the rest by name. */
export function rowsOf({ status }: Detector): DetectorWorkload[] {
  return [...(status?.workloads ?? [])].sort(
    (a, b) =>
      ORDER.indexOf(stateOfRow(a)) - ORDER.indexOf(stateOfRow(b)) ||
      (a.workload ?? "").localeCompare(b.workload ?? ""),
  );
}

export const HOST = "the host";
