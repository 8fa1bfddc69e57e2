import { expect, test } from "vitest";
import type { Workload } from "@/api/types";
import { additions, restartInstant, rollbackBlocked, scalePreview, surplus } from "./preview";

function workload(names: readonly string[], changes: Partial<Workload["spec"]> = {}): Workload {
  return {
    metadata: { name: "web" },
    spec: { container: "web", replicas: names.length, ...changes },
    status: {
      instances: names.map((name, index) => ({
        name,
        id: name,
        index,
        state: "running",
        health: "Healthy",
        revision: "r1",
        startedAt: "2026-01-31T12:00:00.5Z",
      })),
    },
  };
}

test("the highest replicas go first, an unready one before them, the adopted container never", () => {
  const four = workload(["web", "web-replica-1", "web-replica-2", "web-replica-3"]);
  expect(surplus(four, 2).map((instance) => instance.name)).toEqual(["web-replica-3", "web-replica-2"]);
  const sick = four.status?.instances?.[1];
  if (sick) sick.health = "Unhealthy";
  expect(surplus(four, 3).map((instance) => instance.name)).toEqual(["web-replica-1"]);
  expect(surplus(four, 0)).toHaveLength(3);
});

test("new replicas take the lowest free numbers", () => {
  expect(additions(workload(["web"]), 3)).toEqual(["web-replica-1", "web-replica-2"]);
});

test("the consequence of scaling in is told before it happens", () => {
  const preview = scalePreview(workload(["web", "a", "b", "c"]), 2, undefined);
  expect(preview.summary).toBe("2 of 4 replicas will stop after draining.");
  expect(preview.lines.at(-1)).toContain("cut off");
});

test("a restart is asked for a moment after the last start, also when the browser's clock is behind", () => {
  const at = restartInstant(workload(["web"]), new Date("2026-01-31T11:00:00Z"));
  expect(at).toBe("2026-01-31T12:00:00.501Z");
});

test("an adopted container has nothing to go back to, and the reason is said", () => {
  expect(rollbackBlocked(workload(["web"]))).toContain("adopts");
});
