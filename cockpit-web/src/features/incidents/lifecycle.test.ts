import { expect, test } from "vitest";
import type { Incident, Phase, Stage } from "@/api/types";
import { isOpen } from "@/model/incident";
import { matches } from "./filters";
import { lifecycle } from "./lifecycle";

function incident(phase: Phase, stages: Stage[]): Incident {
  const timeline = stages.map((status, index) => ({
    ts: `2026-01-31T12:00:0${index}Z`,
    status,
    message: "m",
  }));
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Incident",
    metadata: { name: "inc" },
    spec: { alertType: "odd" },
    status: { phase, timeline },
  } as Incident;
}

test("a dry run has ended, and shows how far it came and that it was one", () => {
  const ended = incident("DRY_RUN", ["RECEIVED", "AI_COMPLETE", "COUNCIL_DECISION", "DRY_RUN"]);
  expect(isOpen(ended)).toBe(false);
  const steps = lifecycle(ended).map(({ name, state }) => `${name}: ${state}`);
  expect(steps).toEqual([
    "Received: done",
    "Analysis: done",
    "Council: done",
    "Approval: ahead",
    "Execution: ahead",
    "Verification: ahead",
    "Dry run: done",
  ]);
  const filters = { workload: "", severity: "", text: "" };
  expect(matches(ended, { ...filters, show: "dry-run" })).toBe(true);
  expect(matches(ended, { ...filters, show: "open" })).toBe(false);
  expect(matches(ended, { ...filters, show: "resolved" })).toBe(false);
});
