// The load of containers: what the controller kept, and fifteen minutes of what has come since. Pure.

import type { ContainerMetrics } from "@/api/types";
import type { Sample } from "@/model/load";

export const KEPT_MS = 15 * 60_000;

export type Series = ReadonlyMap<string, readonly Sample[]>;

/** What has come over the socket. */
export function append(series: Series, at: number, rows: readonly ContainerMetrics[]): Series {
  const next = new Map(series);
  for (const row of rows) {
    const before = next.get(row.name) ?? [];
    const last = before[before.length - 1];
    if (last && last.at >= at) continue;
    next.set(row.name, [...before.filter((sample) => sample.at > at - KEPT_MS), sampleOf(at, row)]);
  }
  // A container that went keeps its curve until it has run out of the window.
  for (const [name, samples] of next) {
    const last = samples[samples.length - 1];
    if (!last || last.at <= at - KEPT_MS) next.delete(name);
  }
  return next;
}

function sampleOf(at: number, row: ContainerMetrics): Sample {
  const { cpu_percent, memory_mb, memory_limit_mb, memory_percent, net_rx_bytes, net_tx_bytes } = row;
  return { at, cpu_percent, memory_mb, memory_limit_mb, memory_percent, net_rx_bytes, net_tx_bytes };
}

/** Both, each moment once: what the controller kept first. */
export function join(kept: Series, since: Series): Series {
  const names = new Set([...kept.keys(), ...since.keys()]);
  const joined = new Map<string, readonly Sample[]>();
  for (const name of names) {
    const old = kept.get(name) ?? [];
    const end = old[old.length - 1]?.at ?? Number.NEGATIVE_INFINITY;
    const later = (since.get(name) ?? []).filter((sample) => sample.at > end);
    joined.set(name, [...old, ...later]);
  }
  return joined;
}
