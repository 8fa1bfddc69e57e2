import type { Incident, Stage } from "@/api/types";
import { spoken } from "@/model/words";
import { Panel } from "@/ui/panel";
import { between, clock, duration, exact } from "@/ui/time";
import { TONE_TEXT, type Tone } from "@/ui/tone";

function tone(stage: Stage): Tone {
  if (stage === "RESOLVED") return "ok";
  if (stage === "FAILED") return "bad";
  if (["AWAITING_APPROVAL", "HELD", "FALLBACK"].includes(stage)) return "warn";
  if (["RESTARTED", "SCALED", "SCALED_DOWN", "ROLLED_BACK", "EXECUTING", "SCALING"].includes(stage))
    return "info";
  return "idle";
}

/** Everything that happened, oldest first. */
export function TimelinePanel({ incident }: { incident: Incident }) {
  const timeline = incident.status?.timeline ?? [];
  const first = timeline[0]?.ts;
  return (
    <Panel title="Timeline" note={`${timeline.length} entries`}>
      <ol
        aria-label="Timeline"
        className="relative space-y-3 before:absolute before:top-2 before:bottom-2 before:left-[0.28rem] before:w-px before:bg-line-strong"
      >
        {timeline.map((entry, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: entries are only ever added at the end
          <li key={index} data-stage={entry.status} className="relative animate-rise pl-5">
            <span
              className={`absolute top-1.5 left-0 size-2.5 rounded-full border-2 border-panel bg-current ${TONE_TEXT[tone(entry.status)]}`}
            />
            <div className="flex flex-wrap items-baseline gap-x-2">
              <span
                className={`font-medium text-sm ${tone(entry.status) === "idle" ? "" : TONE_TEXT[tone(entry.status)]}`}
              >
                {spoken(entry.status)}
              </span>
              <time dateTime={entry.ts} title={exact(entry.ts)} className="text-2xs text-faint">
                {clock(entry.ts)}
                {first && index > 0 ? ` · +${duration(between(first, entry.ts))}` : ""}
              </time>
            </div>
            <p className="break-words text-soft text-xs">{entry.message}</p>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
