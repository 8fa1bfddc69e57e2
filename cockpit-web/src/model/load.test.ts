import { expect, test } from "vitest";
import type { Incident, KubeEvent, Workload } from "@/api/types";
import { about, changes, curve, limitOf, markOf, rate, type Sample, workloadOf } from "./load";

const SECOND = 1000;
const reading = (at: number, more: Partial<Sample> = {}): Sample => ({ at, memory_mb: 1, ...more });

test("readings break after some missed ones, minutes after two, whatever the interval", () => {
  const breaks = (samples: Sample[], interval: number) =>
    curve(samples, (one) => one.memory_mb, interval).filter(({ value }) => value === null).length;
  expect(breaks([reading(0), reading(19 * SECOND)], 3)).toBe(0);
  expect(breaks([reading(0), reading(21 * SECOND)], 3)).toBe(1);
  expect(breaks([reading(0), reading(80 * SECOND)], 30)).toBe(0);
  const minutes = [0, 60, 120, 300].map((at) => reading(at * SECOND, { minute: true }));
  expect(breaks(minutes, 3)).toBe(1);
  expect(breaks([reading(0, { minute: true }), reading(70 * SECOND)], 3)).toBe(0);
});

test("minutes have neither network nor limit: the curve begins where they are known", () => {
  const samples = [
    reading(0, { minute: true }),
    reading(3000, { net_rx_bytes: 10, memory_limit_mb: 64 }),
    reading(6000, { net_rx_bytes: 40, memory_limit_mb: 128 }),
  ];
  expect(rate(samples, (one) => one.net_rx_bytes, 3)).toEqual([{ at: 6000, value: 10 }]);
  expect(limitOf(samples)).toBe(128);
  expect(limitOf([])).toBe(0);
});

const T = "2026-01-31T12:00:00Z";
const at = (seconds: number) => new Date(Date.parse(T) + seconds * SECOND).toISOString();

const workload = {
  metadata: { name: "shop" },
  spec: { container: "shop" },
  status: {
    revisions: [{ revision: "r1", image: "shop:1", createdAt: at(0) }],
    instances: [
      { name: "shop", startedAt: at(100) },
      { name: "shop-replica-1", startedAt: at(501) },
    ],
  },
} as unknown as Workload;

const event = (reason: string, message: string, name = "shop") =>
  ({ reason, message, involvedObject: { kind: "Workload", name }, lastTimestamp: at(500) }) as KubeEvent;

test("rollouts and restarts are marks, each once", () => {
  const events = [
    event("Restarted", "restarted shop-replica-1"),
    event("Captured", "captured the state"),
    event("Restarted", "restarted api", "api"),
  ];
  expect(changes(workload, events).map(({ name }) => name)).toEqual([
    "restarted shop-replica-1",
    "revision r1: shop:1",
    "shop started",
  ]);
  expect(workloadOf("shop-replica-1", [workload])).toBe(workload);
  expect(workloadOf("other", [workload])).toBeUndefined();
});

test("an incident is marked from its beginning to its end; one that is open has none", () => {
  const incident = {
    metadata: { name: "inc 1", creationTimestamp: at(0) },
    spec: { alertType: "MEMORY_HIGH", workloadRef: "shop" },
    status: { phase: "RESOLVED", finishedAt: at(60), execution: { containers: ["shop-replica-1"] } },
  } as unknown as Incident;
  expect(markOf(incident)).toEqual({
    kind: "incident",
    at: Date.parse(T),
    until: Date.parse(at(60)),
    name: "Memory high, Resolved",
    to: "/incidents/inc%201",
  });
  const open = { ...incident, status: { phase: "VERIFYING" } } as Incident;
  expect(markOf(open).until).toBe(Number.POSITIVE_INFINITY);
  expect(["shop", "shop-replica-1", "api"].map((name) => about([incident], name).length)).toEqual([1, 1, 0]);
});
