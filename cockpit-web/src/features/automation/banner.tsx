// Across every page while all automation is paused: by whom, why, until when, and the way to end it.

import { useAutomation } from "@/live/hooks";
import { useNow } from "@/ui/clock";
import { Icon } from "@/ui/icon";
import { TimeAgo } from "@/ui/time-ago";
import { ResumeAction } from "./dialogs";
import { inForce, pausedBy } from "./pause";

export function PauseBanner() {
  const { data } = useAutomation();
  const pause = inForce(data?.paused, useNow());
  if (!pause) return null;
  return (
    <aside
      aria-label="Automation is paused"
      className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b bg-warn-tint px-4 py-1.5 text-sm text-warn"
    >
      <Icon name="pause" className="size-4" />
      <p role="status" className="min-w-0 flex-1 break-words">
        <span className="font-semibold">All automation {pausedBy(pause)}</span>
        {pause.at && (
          <>
            {" "}
            <TimeAgo at={pause.at} />
          </>
        )}
        {pause.reason && `: ${pause.reason.replace(/\.$/, "")}`}
        {". "}
        {pause.until ? (
          <>
            It goes on by itself <TimeAgo at={pause.until} />.
          </>
        ) : (
          "It waits until somebody resumes it."
        )}
      </p>
      <ResumeAction />
    </aside>
  );
}
