// What a silence means to a reader: whether it runs, what it is about, and the one that a form requests. Which of its weekly
// windows is open is the server's to say. Pure.

import type { Silence } from "@/api/types";
import type { Tone } from "@/ui/tone";

export type State = "active" | "recurring" | "pending" | "expired";

export const STATES: Record<State, { word: string; tone: Tone }> = {
  active: { word: "In force", tone: "info" },
  recurring: { word: "Recurring", tone: "info" },
  pending: { word: "Not yet", tone: "idle" },
  expired: { word: "Expired", tone: "idle" },
};

const ORDER: readonly State[] = ["active", "recurring", "pending", "expired"];

export function stateOf({ spec }: Silence, now: number): State {
  if (spec.until && Date.parse(spec.until) <= now) return "expired";
  if (spec.from && now < Date.parse(spec.from)) return "pending";
  return (spec.windows?.length ?? 0) > 0 ? "recurring" : "active";
}

/** Those that run first, then by name. */
export function inOrder(silences: Iterable<Silence>, now: number): Silence[] {
  const rank = (silence: Silence) => ORDER.indexOf(stateOf(silence, now));
  return [...silences].sort(
    (one, other) => rank(one) - rank(other) || one.metadata.name.localeCompare(other.metadata.name),
  );
}

const pairs = (labels: Readonly<Record<string, string>>) =>
  Object.entries(labels).map(([name, value]) => `${name}=${value}`);

/** "web, db", "alerts Down of every workload". */
export function about({ spec }: Silence): string {
  const names = spec.workloads?.names ?? [];
  const byLabel = pairs(spec.workloads?.matchLabels ?? {});
  const types = spec.alertTypes ?? [];
  const labels = pairs(spec.matchLabels ?? {});
  const workloads = [...names, ...byLabel].join(", ") || "every workload";
  const which = [...types, ...labels].join(", ");
  return which ? `alerts ${which} of ${workloads}` : workloads;
}

/** "Sat, Sun 02:00–04:00 UTC", one a window. */
export function windowsOf({ spec }: Silence): string[] {
  return (spec.windows ?? []).map(({ days, start, end }) => {
    const when = (days ?? []).join(", ");
    return `${when || "Every day"} ${start}–${end} UTC`;
  });
}

export type Wish = { workload: string; reason: string; seconds: number; hold: boolean };

/** How long a requested silence can be. */
export const SPANS: readonly { words: string; seconds: number }[] = [
  { words: "1 hour", seconds: 3_600 },
  { words: "4 hours", seconds: 14_400 },
  { words: "1 day", seconds: 86_400 },
  { words: "1 week", seconds: 604_800 },
];

/** What the server takes. */
export const LONGEST_REASON = 512;

/** The silence that a form requests, begun now. */
export function silenceOf({ workload, reason, seconds, hold }: Wish, owner: string, now: number): object {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Silence",
    metadata: { name: `${workload || "all"}-${Math.floor(now / 1000)}` },
    spec: {
      workloads: workload ? { names: [workload] } : {},
      owner,
      reason,
      until: new Date(now + seconds * 1000).toISOString(),
      automation: hold ? "Hold" : "Continue",
    },
  };
}
