// What the list and the page of a detector both show.

import { Link } from "react-router";
import type { Detector, DetectorWorkload } from "@/api/types";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";
import type { Tone } from "@/ui/tone";
import { shownValue } from "./signals";
import { HOST, STATES, stateOfRow } from "./standing";

const SEVERITY_TONE: Record<string, Tone> = { critical: "bad", warning: "warn", info: "info" };

export function SeverityChip({ severity = "warning" }: { severity?: string }) {
  const tone = SEVERITY_TONE[severity] ?? "idle";
  return <StateChip plain tone={tone} icon={tone === "info" ? "idle" : "warn"} word={severity} />;
}

type RowProps = { row: DetectorWorkload; spec: Detector["spec"] };

/** One workload, or the host: what was read, since when, and the incident about it. */
export function Firing({ row, spec }: RowProps) {
  const state = STATES[stateOfRow(row)];
  const { workload, container, incident, since, value, message } = row;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-0.5 border-b px-3 py-1.5 text-sm last:border-b-0">
      <StateChip plain tone={state.tone} icon={state.icon} word={state.word} />
      {workload ? (
        <Link
          to={`/workloads/${encodeURIComponent(workload)}`}
          className="break-all text-accent hover:underline"
        >
          {workload}
        </Link>
      ) : (
        <span>{HOST}</span>
      )}
      {value != null && <span className="tabular-nums">{shownValue(spec, value)}</span>}
      {since && (
        <span className="text-faint text-xs">
          since <TimeAgo at={since} />
        </span>
      )}
      {incident && (
        <Link
          to={`/incidents/${encodeURIComponent(incident)}`}
          className="break-all text-accent text-xs hover:underline"
        >
          Incident {incident}
        </Link>
      )}
      {message && (
        <span className="basis-full break-words text-soft text-xs">
          {container && container !== workload && `${container} `}
          {message}
        </span>
      )}
    </li>
  );
}
