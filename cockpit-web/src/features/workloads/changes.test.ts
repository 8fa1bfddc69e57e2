import { expect, test } from "vitest";
import type { Workload } from "@/api/types";
import { restartInstant, rollbackBlocked } from "./changes";

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

test("a restart is requested a moment after the last start, also when the browser's clock is behind", () => {
  const at = restartInstant(workload(["web"]), new Date("2026-01-31T11:00:00Z"));
  expect(at).toBe("2026-01-31T12:00:00.501Z");
});

test("an adopted container has nothing to go back to, and the reason is said", () => {
  expect(rollbackBlocked(workload(["web"]))).toContain("adopts");
});
