// The load of containers as curves, and what happened to them as marks. Pure.

import type { Incident, KubeEvent, Workload } from "@/api/types";
import { broken, type Mark, type Measured, type Point, rates } from "@/ui/time-series";
import { beganAt, endedAt, phaseOf } from "./incident";
import { spoken } from "./words";

/** One reading of a container, or one minute of it, of which only CPU and memory are kept. */
export type Sample = {
  /** Milliseconds since the epoch; of a minute, its end. */
  at: number;
  /** It is a minute. */
  minute?: boolean;
  /** Unknown at the first look at a container: it takes two. */
  cpu_percent?: number | null;
  memory_mb: number;
  memory_limit_mb?: number | null;
  memory_percent?: number | null;
  net_rx_bytes?: number | null;
  net_tx_bytes?: number | null;
};

type Of = (sample: Sample) => number | null | undefined;

/** So far apart two readings are still one line, whatever the interval. */
const READINGS_APART_MS = 20_000;
const MINUTES_APART_MS = 150_000;

/** How far apart two samples may be before nothing was measured between them. */
export function longest(intervalSeconds: number) {
  const readings = Math.max(READINGS_APART_MS, intervalSeconds * 3000);
  return (a: { minute?: boolean }, b: { minute?: boolean }) =>
    a.minute || b.minute ? Math.max(MINUTES_APART_MS, readings) : readings;
}

const measured = (samples: readonly Sample[], of: Of): (Measured & { minute?: boolean })[] =>
  samples.flatMap((sample) => {
    const value = of(sample);
    return value == null ? [] : [{ at: sample.at, value, minute: sample.minute }];
  });

/** What was measured, broken where nothing was. */
export function curve(samples: readonly Sample[], of: Of, intervalSeconds: number): Point[] {
  return broken(measured(samples, of), longest(intervalSeconds));
}

/** The growth of a counter, a second. */
export function rate(samples: readonly Sample[], of: Of, intervalSeconds: number): Point[] {
  const apart = longest(intervalSeconds);
  return broken(rates(measured(samples, of)), () => apart({}, {}));
}

/** The newest limit: minutes do not keep theirs. 0 where none is known. */
export function limitOf(samples: readonly Sample[]): number {
  return samples.findLast(({ memory_limit_mb }) => memory_limit_mb != null)?.memory_limit_mb ?? 0;
}

/** Memory in percent of its limit; of a minute, of the newest limit. */
export function memoryPercent(samples: readonly Sample[]): Of {
  const limit = limitOf(samples);
  return ({ memory_percent, memory_mb }) =>
    memory_percent ?? (limit > 0 ? (memory_mb / limit) * 100 : undefined);
}

const path = (incident: Incident) => `/incidents/${encodeURIComponent(incident.metadata.name)}`;

/** An incident, from its beginning to its end; one that is open has none yet. */
export function markOf(incident: Incident): Mark {
  const ended = endedAt(incident);
  return {
    kind: "incident",
    at: Date.parse(beganAt(incident)),
    until: ended ? Date.parse(ended) : Number.POSITIVE_INFINITY,
    name: `${spoken(incident.spec.alertType)}, ${spoken(phaseOf(incident))}`,
    to: path(incident),
  };
}

/** Those about a container, or about a workload. */
export function about(incidents: Iterable<Incident>, name: string): Incident[] {
  return [...incidents].filter(({ spec, status }) => {
    const named = [spec.containerName, status?.workload, spec.workloadRef];
    return named.includes(name) || (status?.execution?.containers ?? []).includes(name);
  });
}

/** What a change of a workload is called in its Events. */
const CHANGES = new Set(["Created", "Started", "Restarted", "Healed", "Removed", "RolledBack"]);
/** An Event and what it is about are this close. */
const SAME_MS = 15_000;

/** Rollouts and restarts of a workload: its Events, its revisions, and when its containers started. */
export function changes(workload: Workload, events: readonly KubeEvent[]): Mark[] {
  const { name } = workload.metadata;
  const to = `/workloads/${encodeURIComponent(name)}`;
  const reported = events
    .filter(({ involvedObject, reason }) => isOf(involvedObject, name) && CHANGES.has(reason))
    .map((event): Mark => ({ kind: "change", at: Date.parse(event.lastTimestamp), name: event.message, to }));
  const revisions = (workload.status?.revisions ?? []).map(
    (one): Mark => ({
      kind: "change",
      at: Date.parse(one.createdAt),
      name: `revision ${one.revision}: ${one.image}`,
      to,
    }),
  );
  // What people and other tools start has no Event here, but its time.
  const started = (workload.status?.instances ?? []).flatMap((one): Mark[] => {
    const at = Date.parse(one.startedAt ?? "");
    const isReported = reported.some(
      (mark) => Math.abs(mark.at - at) < SAME_MS && mark.name.includes(one.name),
    );
    return Number.isNaN(at) || isReported ? [] : [{ kind: "change", at, name: `${one.name} started`, to }];
  });
  return [...reported, ...revisions, ...started];
}

const isOf = ({ kind, name }: KubeEvent["involvedObject"], workload: string) =>
  kind === "Workload" && name === workload;

/** The workload that a container belongs to. */
export function workloadOf(container: string, workloads: Iterable<Workload>): Workload | undefined {
  for (const workload of workloads) {
    const own = (workload.status?.instances ?? []).some(({ name }) => name === container);
    if (own || workload.spec.container === container) return workload;
  }
  return undefined;
}
