// The silence that keeps people from being notified of an incident. What it says is what people wrote: it is shown as text.

import { Link } from "react-router";
import type { Incident } from "@/api/types";
import { endedAt } from "@/model/incident";
import { StateChip } from "@/ui/state-chip";
import { exact } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";

export type SilencedBy = NonNullable<NonNullable<Incident["status"]>["silenced"]>;

/** "silence disks of ada until 29 Nov 2026, 13:00: new disks". */
export function inWords({ silence, owner, reason, until }: SilencedBy): string {
  const when = until ? ` until ${exact(until)}` : " in its weekly windows";
  return `silence ${silence} of ${owner}${when}: ${reason}`;
}

/** The mark in a list. */
export function SilencedChip({ incident }: { incident: Incident }) {
  const by = incident.status?.silenced;
  if (!by) return null;
  return <StateChip tone="idle" icon="mute" word={`Silenced by ${by.owner}`} title={inWords(by)} />;
}

/** What a reader of the incident should know: no person was notified of it. */
export function SilencedNote({ incident }: { incident: Incident }) {
  const by = incident.status?.silenced;
  if (!by) return null;
  return (
    <section
      aria-label="Silenced"
      className="flex flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border bg-panel px-4 py-2 text-sm"
    >
      <StateChip tone="idle" icon="mute" word={endedAt(incident) ? "Ended silenced" : "Silenced"} />
      <span className="min-w-0 break-words">
        People are not notified of it: silence{" "}
        <Link to="/silences" className="text-accent underline underline-offset-2">
          {by.silence}
        </Link>{" "}
        of {by.owner}, {by.reason}
      </span>
      <span className="text-faint text-xs">
        {by.until ? (
          <>
            expires <TimeAgo at={by.until} />
          </>
        ) : (
          "in its weekly windows"
        )}
        , since <TimeAgo at={by.since} />
      </span>
    </section>
  );
}
