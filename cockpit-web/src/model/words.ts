// What a frame says, in one human-readable line. Pure.

import type { Frame } from "@/api/types";
import { duration } from "@/ui/time";
import type { Tone } from "@/ui/tone";

export type Words = { tone: Tone; what: string; about: string; text: string };

const line = (tone: Tone, what: string, about: string, text: string): Words => ({ tone, what, about, text });

export function words(frame: Frame): Words {
  const id = frame.incident_id ?? "";
  switch (frame.type) {
    case "incident.new":
      return line("bad", "Incident", id, `${frame.data.alert_type} reported`);
    case "status.update":
      return line(toneOfStage(frame.data.status), spoken(frame.data.status), id, frame.data.message);
    case "ai.thinking":
      return line("info", "Analyst", id, frame.data.message);
    case "ai.stream":
      return line("idle", "Reasoning", id, frame.data.chunk);
    case "ai.complete":
      return line("info", "Proposal", id, `${frame.data.analysis.action}: ${frame.data.analysis.root_cause}`);
    case "council.vote":
      return line(
        toneOfVerdict(frame.data.vote.verdict),
        "Vote",
        id,
        `${spoken(frame.data.vote.role)}: ${spoken(frame.data.vote.verdict)}`,
      );
    case "council.decision":
      return line(
        toneOfVerdict(frame.data.decision.final_verdict),
        "Council",
        id,
        frame.data.decision.summary,
      );
    case "docker.action":
      return line("warn", "Action", frame.data.container, spoken(frame.data.action));
    case "scale.event":
      return line(
        "info",
        "Scaled",
        frame.data.event.container_base,
        `${frame.data.event.replica_count} replicas beside it`,
      );
    case "health.check":
      return line(
        frame.data.healthy ? "ok" : "warn",
        "Probe",
        id,
        `attempt ${frame.data.attempt} ${frame.data.healthy ? "passed" : "failed"}`,
      );
    case "resolved":
      return frame.data.dry_run
        ? line("idle", "Dry run", id, "nothing was done")
        : line("ok", "Resolved", id, "verified");
    case "failed":
      return line("bad", "Failed", id, frame.data.error ?? "without a reason");
    case "reconcile": {
      const { kind, name, result, trigger, duration_ms, requeue_after_ms } = frame.data;
      const again = requeue_after_ms ? `, again in ${duration(requeue_after_ms)}` : "";
      const text = `${result} in ${duration(duration_ms)} (${trigger})${again}`;
      return line(result === "error" ? "bad" : "idle", "Reconcile", `${kind} ${name}`, text);
    }
    case "resource": {
      const { verb, kind, name, resourceVersion } = frame.data;
      return line("idle", "Resource", `${kind} ${name}`, `${verb.toLowerCase()}, version ${resourceVersion}`);
    }
    case "lagged":
      return line("warn", "Lagged", "", `${frame.data.missed} frames were lost`);
    case "metrics":
    case "container.list":
    case "topology":
    case "heartbeat":
    case "snapshot":
    case "automation":
      return line("idle", frame.type, "", "");
    default:
      return unknown(frame);
  }
}

/** Of a later controller. Of this one there is none left: a type without words of its own is refused by the compiler. */
function unknown(frame: never): Words {
  return line("idle", (frame as Frame).type, "", "");
}

const SHORT: Record<string, string> = {
  lb: "LB",
  ai: "AI",
  rag: "RAG",
  sre: "SRE",
  cpu: "CPU",
  oom: "OOM",
  http: "HTTP",
  noop: "No action",
};

/** `AWAITING_APPROVAL` and `DrainReceipt` as people say them. */
export function spoken(word: string): string {
  const said = word
    .split(/[_\s]+|(?<=[a-z])(?=[A-Z])/)
    .map((part) => SHORT[part.toLowerCase()] ?? part.toLowerCase())
    .join(" ");
  return said.charAt(0).toUpperCase() + said.slice(1);
}

function toneOfStage(stage: string): Tone {
  if (stage === "RESOLVED") return "ok";
  if (stage === "FAILED") return "bad";
  if (stage === "AWAITING_APPROVAL" || stage === "HELD" || stage === "FALLBACK") return "warn";
  return "info";
}

export function toneOfVerdict(verdict: string): Tone {
  if (verdict === "APPROVED") return "ok";
  return verdict === "REJECTED" ? "bad" : "warn";
}
