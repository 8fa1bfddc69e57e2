import { expect, test } from "vitest";
import type { Sample } from "@/model/load";
import { summary } from "@/ui/time-series";
import { drawn, slope, usualOf } from "./curves";

const MINUTE = 60_000;

const samples = (count: number, cpu: (index: number) => number): Sample[] =>
  Array.from({ length: count }, (_, index) => ({
    at: index * MINUTE,
    minute: true,
    cpu_percent: cpu(index),
    memory_mb: 64,
  }));

const ALL = { from: 0, to: Number.MAX_SAFE_INTEGER };

test("the threshold is a line in the unit of the signal", () => {
  const series = [["web", samples(3, () => 20)]] as const;
  const cpu = drawn({ kind: "cpu", threshold: 85, series, interval: 3, now: 0 });
  expect(cpu.lines).toEqual([{ value: 85, name: "threshold" }]);
  expect(cpu.unit.show(85)).toBe("85 % of a core");
  expect(summary(cpu.curves[0]?.points ?? [], ALL)?.max).toBe(20);
});

test("memory of a minute is measured by the newest limit", () => {
  const last: Sample = { at: 3 * MINUTE, memory_mb: 96, memory_limit_mb: 128, memory_percent: 75 };
  const series = [["web", [...samples(3, () => 20), last]]] as const;
  const memory = drawn({ kind: "memory", threshold: 84.5, series, interval: 3, now: 0 });
  expect(memory.curves[0]?.points.map(({ value }) => value)).toEqual([50, 50, 50, 75]);
});

test("growth has the limit as a line, and the slope that would reach it in time", () => {
  const last: Sample = { at: 60 * MINUTE, memory_mb: 100, memory_limit_mb: 130 };
  expect(slope(last, 130, 30)).toEqual([
    { at: 50 * MINUTE, value: 90 },
    { at: 60 * MINUTE, value: 100 },
  ]);
  expect(slope(last, 90, 30)).toEqual([]);
  const growth = drawn({ kind: "growth", threshold: 30, series: [["web", [last]]], interval: 3, now: 0 });
  expect(growth.lines).toEqual([{ value: 130, name: "limit" }]);
  expect(growth.curves.map(({ name }) => name)).toEqual(["web", "full in 30 min"]);
  const none = drawn({ kind: "growth", threshold: 30, series: [], interval: 3, now: 0 });
  expect([none.lines, none.note]).toEqual([[], "without a limit it never fires"]);
});

test("what is usual is the median of the day, and odd what is far above it", () => {
  expect(usualOf(Array(119).fill(10), 6)).toBeUndefined();
  expect(usualOf(Array(120).fill(10), 6)).toEqual({ usual: 10, bound: 22 });
  const series = [["web", samples(200, (index) => (index < 180 ? 10 : 90))]] as const;
  const anomaly = drawn({ kind: "cpu-anomaly", threshold: 6, series, interval: 3, now: 200 * MINUTE });
  expect(anomaly.lines.map(({ value, name, quiet }) => [value, name, quiet])).toEqual([
    [22, "threshold", undefined],
    [10, "usual", true],
  ]);
});
