// Chips for the states that several pages show.

import type { Phase } from "@/api/types";
import { toneOfPhase } from "@/model/incident";
import { spoken } from "@/model/words";
import { StateChip } from "./state-chip";

export function PhaseChip({ phase, plain = false }: { phase: Phase; plain?: boolean }) {
  const tone = toneOfPhase(phase);
  const icon = phase === "AWAITING_APPROVAL" ? "person" : undefined;
  return <StateChip tone={tone} word={spoken(phase)} icon={icon} busy={tone === "info"} plain={plain} />;
}

export function SeverityWord({ severity }: { severity: string | undefined }) {
  const tone = severity === "critical" ? "bad" : severity === "info" ? "idle" : "warn";
  return <StateChip plain tone={tone} icon="incident" word={spoken(severity ?? "warning")} />;
}
