// The steps of an incident's life, as its timeline reports them. Pure.

import type { Incident, Phase, Stage } from "@/api/types";
import { phaseOf } from "@/model/incident";

export type Step = {
  name: string;
  at: string | undefined;
  state: "done" | "now" | "ahead" | "failed" | "waiting";
};

const STEPS: readonly { name: string; stages: readonly Stage[]; phases: readonly Phase[] }[] = [
  {
    name: "Received",
    stages: ["RECEIVED", "HELD", "EVIDENCE_COLLECTED", "RAG_RETRIEVAL"],
    phases: ["RECEIVED"],
  },
  { name: "Analysis", stages: ["ANALYSING", "AI_COMPLETE"], phases: ["ANALYSING"] },
  {
    name: "Council",
    stages: ["COUNCIL_REVIEW", "COUNCIL_VOTE", "COUNCIL_DECISION"],
    phases: ["COUNCIL_REVIEW"],
  },
  {
    name: "Approval",
    stages: ["POLICY_GATE", "AWAITING_APPROVAL", "APPROVED"],
    phases: ["AWAITING_APPROVAL", "APPROVED"],
  },
  {
    name: "Execution",
    stages: [
      "EXECUTING",
      "SCALING",
      "SCALED",
      "SCALED_DOWN",
      "RESTARTED",
      "ROLLED_BACK",
      "LB_CONFIGURED",
      "NOOP",
    ],
    phases: ["EXECUTING", "SCALING"],
  },
  { name: "Verification", stages: ["VERIFYING"], phases: ["VERIFYING"] },
  { name: "Resolved", stages: ["RESOLVED"], phases: ["RESOLVED"] },
];

export function lifecycle(incident: Incident): Step[] {
  const phase = phaseOf(incident);
  const timeline = incident.status?.timeline ?? [];
  const first = (stages: readonly Stage[]) => timeline.find((entry) => stages.includes(entry.status))?.ts;
  const reached = STEPS.map((step) => first(step.stages));
  const current = STEPS.findIndex((step) => step.phases.includes(phase));
  const furthest = reached.findLastIndex((at) => at !== undefined);
  return STEPS.map((step, index): Step => {
    const at = reached[index];
    if (phase === "FAILED" || phase === "DRY_RUN") {
      if (step.name === "Resolved") {
        const end = timeline.findLast((entry) => entry.status === phase);
        return phase === "FAILED"
          ? { name: "Failed", at: end?.ts, state: "failed" }
          : { name: "Dry run", at: end?.ts, state: "done" };
      }
      return { name: step.name, at, state: at && index <= furthest ? "done" : "ahead" };
    }
    if (phase === "RESOLVED") return { name: step.name, at, state: at ? "done" : "ahead" };
    if (index === current)
      return { name: step.name, at, state: phase === "AWAITING_APPROVAL" ? "waiting" : "now" };
    return {
      name: step.name,
      at: index < current ? at : undefined,
      state: index < current ? "done" : "ahead",
    };
  });
}
