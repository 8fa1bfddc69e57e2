// The signals of detectors in words: what is measured, in which unit, and of which there is a curve. Pure.

import type { Detector, Signal } from "@/api/types";
import {
  budgets,
  counted,
  deviations,
  milliseconds,
  minutes,
  ofACore,
  ofPeriods,
  ofRequests,
  ofTheLimit,
  percent,
  type Unit,
} from "@/ui/units";

/** Which curve shows it. */
export type Curved = "cpu" | "memory" | "growth" | "cpu-anomaly" | "memory-anomaly";

export type SignalWords = {
  /** What is watched. */
  name: string;
  unit?: Unit;
  /** Where the spec sets none. That it is the controller's is tested. */
  threshold?: number;
  curve?: Curved;
};

const lines = counted("line", "lines");

export const SIGNALS: Record<Signal, SignalWords> = {
  ContainerEvent: { name: "A container crashed" },
  OutOfMemory: { name: "A container was OOM-killed" },
  Down: { name: "A container does not run" },
  Restarts: { name: "Crashes within 10 min", unit: counted("crash", "crashes"), threshold: 3 },
  Health: { name: "The probe fails" },
  NetworkLost: { name: "A container is connected to no network, and was made for one" },
  Spin: { name: "The probe fails, and CPU", unit: ofACore, threshold: 85, curve: "cpu" },
  Cpu: { name: "CPU", unit: ofACore, threshold: 85, curve: "cpu" },
  Throttling: { name: "Held back by the CPU limit", unit: ofPeriods, threshold: 25 },
  Memory: { name: "Memory", unit: ofTheLimit, threshold: 84.5, curve: "memory" },
  MemoryGrowth: { name: "Memory surely grows, and is full", unit: minutes, threshold: 30, curve: "growth" },
  Pids: { name: "Processes and threads", unit: ofTheLimit, threshold: 90 },
  LogErrors: { name: "Log lines of 5 min that report an error", unit: lines, threshold: 8 },
  LogPattern: { name: "Log lines of 5 min that match", unit: lines, threshold: 1 },
  ReplicasMissing: { name: "Fewer replicas are ready than desired" },
  HttpLatency: { name: "95th percentile of latency", unit: milliseconds, threshold: 1000 },
  HttpErrorRatio: { name: "5xx answers", unit: ofRequests, threshold: 2 },
  NoServer: { name: "No server is in rotation" },
  CpuAnomaly: { name: "CPU above what is usual", unit: deviations, threshold: 6, curve: "cpu-anomaly" },
  MemoryAnomaly: {
    name: "Memory above what is usual",
    unit: deviations,
    threshold: 6,
    curve: "memory-anomaly",
  },
  HostDisk: { name: "The host's disk", unit: percent, threshold: 90 },
  HostInodes: { name: "The host's inodes", unit: percent, threshold: 90 },
  HostMemory: { name: "The host's memory", unit: percent, threshold: 95 },
  EngineAway: { name: "The Docker engine does not answer" },
};

/** Of a later controller there may be signals without words here. */
export function wordsOf(signal: string): SignalWords {
  return (SIGNALS as Partial<Record<string, SignalWords>>)[signal] ?? { name: signal };
}

export function thresholdOf({ signal, threshold }: Detector["spec"]): number | undefined {
  return threshold ?? (signal ? wordsOf(signal).threshold : undefined);
}

/** From which value on it holds, human-readable; undefined where there is no bound. */
export function boundOf(spec: Detector["spec"]): string | undefined {
  if (spec.slo) return burnRates(spec.slo);
  const threshold = thresholdOf(spec);
  if (threshold === undefined || !spec.signal) return undefined;
  const text = shownValue(spec, threshold);
  return spec.signal === "MemoryGrowth" ? `within ${text}` : `≥ ${text}`;
}

/** A value in the unit of the signal; `short`: what it is of stands elsewhere. */
export function shownValue({ signal, slo }: Detector["spec"], value: number, short = false): string {
  const unit = slo ? budgets : signal ? wordsOf(signal).unit : undefined;
  if (!unit) return String(value);
  return ((short ? unit.tick : undefined) ?? unit.show)(value);
}

type Slo = NonNullable<Detector["spec"]["slo"]>;

/** Where the spec names none. */
const BURN_RATES: NonNullable<Slo["burnRates"]> = [
  { factor: 14.4, long: "1h", short: "5m" },
  { factor: 6, long: "6h", short: "30m" },
];

function burnRates({ burnRates = [] }: Slo): string {
  const rates = burnRates.length > 0 ? burnRates : BURN_RATES;
  return rates.map(({ factor, long, short }) => `≥ ${factor} × over ${long} and ${short}`).join(", or ");
}

/** What is watched, human-readable. */
export function signalOf({ signal, slo, pattern }: Detector["spec"]): string {
  if (slo) return `The error budget of ${slo.objective} % burns`;
  const name = wordsOf(signal ?? "").name;
  return pattern ? `${name} ${pattern}` : name;
}

/** A span of the spec; undefined where it is none. */
export function spanOf(duration: string | undefined): string | undefined {
  return !duration || /^0+[a-z]*$/.test(duration) ? undefined : duration;
}
