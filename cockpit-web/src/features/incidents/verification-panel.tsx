// The proof: every probe attempt when it was made, and what it amounts to.

import { Link } from "react-router";
import type { Incident } from "@/api/types";
import { condition } from "@/model/workload";
import { Empty } from "@/ui/empty";
import { Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { clock } from "@/ui/time";
import { TimeAgo } from "@/ui/time-ago";

export function VerificationPanel({ incident }: { incident: Incident }) {
  const { status } = incident;
  const verification = status?.verification;
  const attempts = verification?.attempts ?? [];
  const proof = condition(status?.conditions, "HealthVerified");
  const learned = status?.learned;
  // Of a dry run there is nothing to prove.
  if (!verification && (!status?.finishedAt || status.phase === "DRY_RUN")) return null;
  return (
    <Panel
      title="Verification"
      note={attempts.length > 0 ? `${attempts.length} attempt${attempts.length === 1 ? "" : "s"}` : undefined}
      actions={<Outcome incident={incident} />}
    >
      {attempts.length === 0 ? (
        <Empty icon="clock" title="No probe yet">
          {status?.error ?? "The first attempt is made as soon as the change is in force."}
        </Empty>
      ) : (
        <ol
          aria-label="Probe attempts"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
          tabIndex={0}
          className="scroll-thin max-h-64 space-y-1 overflow-auto"
        >
          {attempts.map((attempt) => (
            <li
              key={attempt.number}
              data-attempt={attempt.number}
              className="grid animate-rise grid-cols-[2rem_5.500rem_minmax(0,1fr)] items-baseline gap-2 text-xs"
            >
              <span className="text-faint">#{attempt.number}</span>
              <StateChip
                plain
                tone={attempt.healthy ? "ok" : "bad"}
                word={attempt.healthy ? "Passed" : "Failed"}
              />
              <span className="min-w-0 break-words">
                <span className="mr-1.5 text-faint">{clock(attempt.at)}</span>
                <span className="font-mono">{attempt.message}</span>
              </span>
            </li>
          ))}
        </ol>
      )}
      {(proof || status?.error || learned) && (
        <div className="mt-4 space-y-1 border-t pt-3 text-sm">
          {proof && (
            <p>
              <span className="text-faint">Proof: </span>
              {proof.message}
            </p>
          )}
          {status?.clears && verification && (
            <>
              <p className="break-words">
                <span className="text-faint">Symptom before: </span>
                {status.clears.message}
              </p>
              <p className="break-words">
                <span className="text-faint">After: </span>
                {clearedWords(verification.symptomCleared)}
                {verification.after ? `: ${verification.after}` : ""}
              </p>
            </>
          )}
          {status?.relapseOf && (
            <p>
              <span className="text-faint">Relapse of: </span>
              <Link
                to={`/incidents/${encodeURIComponent(status.relapseOf)}`}
                className="break-all text-accent hover:underline"
              >
                {status.relapseOf}
              </Link>{" "}
              ({status.relapses ?? 1} in a row)
            </p>
          )}
          {status?.relapsedIn ? (
            <p>
              <span className="text-faint">Came back in: </span>
              <Link
                to={`/incidents/${encodeURIComponent(status.relapsedIn)}`}
                className="break-all text-accent hover:underline"
              >
                {status.relapsedIn}
              </Link>
            </p>
          ) : (
            status?.mitigatedAt && (
              <p>
                <span className="text-faint">Cure: </span>
                {status.settledAt ? "it has stayed away" : "provisional, it may still come back"}
              </p>
            )
          )}
          {status?.error && <p className="break-words text-bad">{status.error}</p>}
          {learned && (
            <p>
              <span className="text-faint">Learned: </span>
              <Link
                to={`/runbook?entry=${encodeURIComponent(learned)}`}
                className="break-all text-accent hover:underline"
              >
                {learned}
              </Link>
            </p>
          )}
        </div>
      )}
    </Panel>
  );
}

function clearedWords(cleared: boolean | null | undefined): string {
  if (cleared == null) return "inconclusive, it could not be measured";
  return cleared ? "not measured any more" : "still measured";
}

function Outcome({ incident }: { incident: Incident }) {
  const { status } = incident;
  if (status?.phase === "RESOLVED") {
    return (
      <span className="flex items-center gap-2">
        <StateChip tone="ok" word="Verified" />
        <TimeAgo at={status.resolvedAt} className="text-faint text-xs" />
      </span>
    );
  }
  if (status?.phase === "FAILED") return <StateChip tone="bad" word="Not verified" />;
  return <StateChip tone="info" word="Under way" busy />;
}
