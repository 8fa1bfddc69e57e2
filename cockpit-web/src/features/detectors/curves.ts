// The signal of a detector as curves, with its threshold as a line. What fires is decided by the controller and stands in
// the detector's status: here it is only drawn. Pure.

import { curve, limitOf, memoryPercent, type Sample } from "@/model/load";
import type { Curve, Line } from "@/ui/plot";
import { mebibytes, ofACore, ofTheLimit, type Unit } from "@/ui/units";
import type { Curved } from "./signals";

export type Drawn = {
  title: string;
  curves: Curve[];
  lines: Line[];
  unit: Unit;
  least: number;
  note?: string;
};

const CPU = "CPU, of one core";
const MEMORY = "Memory, of its limit";

type Wanted = {
  kind: Curved;
  threshold: number;
  /** By container, the one that decides first. */
  series: readonly (readonly [string, readonly Sample[]])[];
  interval: number;
  now: number;
};

export function drawn({ kind, threshold, series, interval, now }: Wanted): Drawn {
  const cpu = (sample: Sample) => sample.cpu_percent;
  const line = { value: threshold, name: "threshold" };
  const every = (of: (samples: readonly Sample[]) => (sample: Sample) => number | null | undefined) =>
    series.map(([name, samples]) => ({ name, points: curve(samples, of(samples), interval) }));
  switch (kind) {
    case "cpu":
      return { title: CPU, curves: every(() => cpu), lines: [line], unit: ofACore, least: 100 };
    case "memory":
      return { title: MEMORY, curves: every(memoryPercent), lines: [line], unit: ofTheLimit, least: 100 };
    case "growth":
      return growth(series, threshold, interval);
    case "cpu-anomaly":
      return { title: CPU, ...anomaly(series, () => cpu, threshold, interval, now), unit: ofACore };
    case "memory-anomaly":
      return { title: MEMORY, ...anomaly(series, memoryPercent, threshold, interval, now), unit: ofTheLimit };
  }
}

/** Memory up to its limit, and how steep it would be if it were full in so many minutes. */
function growth(series: Wanted["series"], minutes: number, interval: number): Drawn {
  const [[name, samples] = ["memory", []]] = series;
  const limit = limitOf(samples);
  const memory = { name, points: curve(samples, (sample) => sample.memory_mb, interval) };
  const last = samples[samples.length - 1];
  if (limit <= 0 || !last)
    return {
      title: "Memory",
      curves: [memory],
      lines: [],
      unit: mebibytes,
      least: 8,
      note: "without a limit it never fires",
    };
  return {
    title: "Memory",
    curves: [memory, { name: `full in ${minutes} min`, points: slope(last, limit, minutes) }],
    lines: [{ value: limit, name: "limit" }],
    unit: mebibytes,
    least: 8,
    note: "it fires where memory surely grows as steeply as the second line",
  };
}

/** The line through the last reading that reaches the limit in so many minutes, as far back as it is above 0. */
export function slope(last: Sample, limit: number, minutes: number): { at: number; value: number }[] {
  const perMs = (limit - last.memory_mb) / (minutes * 60_000);
  if (!(perMs > 0)) return [];
  const back = Math.min(last.memory_mb / perMs, 10 * 60_000);
  return [
    { at: last.at - back, value: last.memory_mb - back * perMs },
    { at: last.at, value: last.memory_mb },
  ];
}

/** What is newer is no part of what is usual. */
const LATELY_MS = 15 * 60_000;
/** Minutes without which it is not known what is usual. */
const LEAST_MINUTES = 120;
/** Makes a median absolute deviation an estimate of the standard deviation. */
const SCALE = 1.4826;
const LEAST_SPREAD = 2;

/** What is usual for these values, and from which value on it is not; undefined where too little is known. */
export function usualOf(
  values: readonly number[],
  factor: number,
): { usual: number; bound: number } | undefined {
  if (values.length < LEAST_MINUTES) return undefined;
  const usual = median(values);
  const spread = Math.max(median(values.map((value) => Math.abs(value - usual))) * SCALE, LEAST_SPREAD);
  return { usual, bound: usual + factor * spread };
}

function anomaly(
  series: Wanted["series"],
  of: (samples: readonly Sample[]) => (sample: Sample) => number | null | undefined,
  factor: number,
  interval: number,
  now: number,
): Omit<Drawn, "unit" | "title"> {
  const [[name, samples] = ["", []]] = series;
  const value = of(samples);
  const before = samples.filter(({ minute, at }) => minute && at < now - LATELY_MS);
  const found = usualOf(
    before.flatMap((sample) => value(sample) ?? []),
    factor,
  );
  return {
    curves: [{ name, points: curve(samples, value, interval) }],
    lines: found
      ? [
          { value: found.bound, name: "threshold" },
          { value: found.usual, name: "usual", quiet: true },
        ]
      : [],
    least: 5,
    note: found ? undefined : "what is usual is known after two hours",
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
