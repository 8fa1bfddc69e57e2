import { Link } from "react-router";
import type { Incident } from "@/api/types";
import { spoken } from "@/model/words";
import { Empty } from "@/ui/empty";
import { Panel } from "@/ui/panel";

/** Similar incidents of the past, with how similar and how trusted they are. */
export function SimilarPanel({ incident }: { incident: Incident }) {
  const retrieved = incident.status?.retrieved ?? [];
  return (
    <Panel title="Similar past incidents">
      {retrieved.length === 0 ? (
        <Empty icon="runbook" title="None">
          Nothing in the runbook is similar. If this one is verified, it is remembered.
        </Empty>
      ) : (
        <ul className="space-y-3">
          {retrieved.map((entry) => (
            <li key={entry.entry} className="text-sm">
              <div className="flex flex-wrap items-baseline gap-x-3">
                <strong className="font-medium">{spoken(entry.action)}</strong>
                <span className="text-faint text-xs">similarity {(entry.score * 100).toFixed(1)} %</span>
                <span className="text-faint text-xs">trust {(entry.trust * 100).toFixed(0)} %</span>
                {entry.recommended === false && (
                  <span className="text-warn text-xs">no longer recommended: it kept failing</span>
                )}
              </div>
              <p className="break-words text-soft">{entry.rootCause}</p>
              <Link
                to={`/runbook?entry=${encodeURIComponent(entry.entry)}`}
                className="block truncate text-accent text-xs hover:underline"
              >
                {entry.entry}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
