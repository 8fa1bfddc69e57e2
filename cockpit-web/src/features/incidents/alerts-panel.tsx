// The alerts behind an incident. All of it is what senders wrote: it is shown as text.

import type { Incident } from "@/api/types";
import { spoken } from "@/model/words";
import { Panel } from "@/ui/panel";
import { SeverityWord } from "@/ui/phase-chip";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";
import { alertsOf, crowdOf, type JoinedAlert, standingOf } from "./alerts";

export function AlertsPanel({ incident }: { incident: Incident }) {
  const { source } = incident.spec;
  const { folded, inhibited } = alertsOf(incident);
  const crowd = crowdOf(incident);
  if (!crowd && !source?.resolvedAt) return null;
  return (
    <Panel title="Alerts" note={crowd}>
      <div className="space-y-4">
        <p className="text-sm">
          {spoken(incident.spec.alertType)} from {source?.kind || "a resource"}:{" "}
          {source?.resolvedAt ? (
            <>
              its sender says that it is over, <TimeAgo at={source.resolvedAt} />
            </>
          ) : (
            "its sender has not said that it is over"
          )}
        </p>
        <Alerts title="Of the same trouble" alerts={folded} />
        <Alerts title="Inhibited: what they are about depends on this" alerts={inhibited} />
      </div>
    </Panel>
  );
}

function Alerts({ title, alerts }: { title: string; alerts: JoinedAlert[] }) {
  if (alerts.length === 0) return null;
  return (
    <div>
      <h3 className="mb-1 font-medium text-sm">{title}</h3>
      <ul aria-label={title} className="divide-y rounded-md border">
        {alerts.map((alert) => {
          const standing = standingOf(alert);
          return (
            <li
              key={alert.incidentId}
              className="flex flex-wrap items-center gap-x-3 gap-y-1 px-3 py-1.5 text-sm"
            >
              <span className="min-w-0 flex-1">
                <span className="block break-words">
                  {spoken(alert.alertType)}
                  {alert.inhibited && (
                    <>
                      {" "}
                      <span className="text-faint">on</span> {alert.inhibited}
                    </>
                  )}
                </span>
                <span className="block break-words text-faint text-xs">
                  {alert.detector ? `measured by detector ${alert.detector}` : alert.incidentId}
                </span>
              </span>
              <SeverityWord severity={alert.severity} />
              <StateChip tone={standing.tone} word={standing.word} />
              {standing.at && <TimeAgo at={standing.at} className="text-faint text-xs" />}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
