// The three seats, each vote as it lands.

import type { Incident, Vote } from "@/api/types";
import { spoken, toneOfVerdict } from "@/model/words";
import { Icon, type IconName } from "@/ui/icon";
import { Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";

const SEATS: readonly { role: Vote["role"]; name: string; icon: IconName; part: string }[] = [
  { role: "SRE_AGENT", name: "SRE agent", icon: "robot", part: "made the proposal" },
  {
    role: "SECURITY_OFFICER",
    name: "Security officer",
    icon: "shield",
    part: "looks for what could go wrong",
  },
  { role: "AUDITOR", name: "Auditor", icon: "search", part: "asks whether the evidence carries it" },
];

export function CouncilPanel({ incident }: { incident: Incident }) {
  const council = incident.status?.council;
  const votes = council?.votes ?? incident.status?.votes ?? [];
  const sitting = incident.status?.phase === "COUNCIL_REVIEW";
  return (
    <Panel
      title="Council"
      note={council ? council.consensus : `${votes.length} of 3 votes`}
      actions={
        council ? (
          <StateChip tone={toneOfVerdict(council.finalVerdict)} word={spoken(council.finalVerdict)} />
        ) : undefined
      }
    >
      <ul className="grid gap-3 md:grid-cols-3">
        {SEATS.map(({ role, name, icon, part }) => {
          const vote = votes.find((candidate) => candidate.role === role);
          return (
            <li
              key={role}
              data-seat={role}
              className={`min-w-0 rounded-md border p-3 ${vote ? "animate-rise bg-raised" : "border-dashed"}`}
            >
              <div className="flex items-center gap-2">
                <Icon name={icon} className="size-4 text-faint" />
                <span className="font-medium text-sm">{name}</span>
              </div>
              {vote ? (
                <>
                  <div className="mt-2 flex flex-wrap items-center gap-2">
                    <StateChip tone={toneOfVerdict(vote.verdict)} word={spoken(vote.verdict)} />
                    <TimeAgo at={vote.timestamp} className="text-2xs text-faint" />
                  </div>
                  <p className="mt-2 break-words text-soft text-sm">{vote.reasoning}</p>
                  {vote.asked?.provider && (
                    <p className="mt-1 text-2xs text-faint">
                      {vote.asked.provider} {vote.asked.model}
                    </p>
                  )}
                </>
              ) : (
                <p className="mt-2 text-faint text-sm">{sitting ? `${part}; has not voted yet` : part}</p>
              )}
            </li>
          );
        })}
      </ul>
      {council && <p className="mt-3 text-soft text-sm">{council.summary}</p>}
    </Panel>
  );
}
