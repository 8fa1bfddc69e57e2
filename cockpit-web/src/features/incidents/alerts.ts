// The alerts behind an incident: which there are, and how each stands. Pure.

import type { Incident } from "@/api/types";
import type { Tone } from "@/ui/tone";

export type JoinedAlert = NonNullable<NonNullable<Incident["spec"]["source"]>["joined"]>[number];

/** Those of the same trouble, and those that are inhibited since their workload depends on this one. */
export function alertsOf({ spec }: Incident): { folded: JoinedAlert[]; inhibited: JoinedAlert[] } {
  const joined = spec.source?.joined ?? [];
  return {
    folded: joined.filter((alert) => !alert.inhibited),
    inhibited: joined.filter((alert) => alert.inhibited),
  };
}

export type Standing = { tone: Tone; word: string; at?: string | null | undefined };

export function standingOf(alert: JoinedAlert): Standing {
  if (alert.releasedAt) return { tone: "info", word: "Has an incident of its own", at: alert.releasedAt };
  if (alert.resolvedAt) return { tone: "ok", word: "Over", at: alert.resolvedAt };
  return { tone: "warn", word: "Fires" };
}

/** "40 alerts, 3 inhibited by it", where there is more than one. */
export function crowdOf(incident: Incident): string | undefined {
  const count = incident.spec.count ?? 1;
  const { inhibited } = alertsOf(incident);
  if (count <= 1 && inhibited.length === 0) return undefined;
  const more = inhibited.length > 0 ? `, ${inhibited.length} inhibited by it` : "";
  return `${count} alerts${more}`;
}
