// What the controller itself saw, and what the sender said. All of it may be hostile: it is shown as text.

import type { Incident } from "@/api/types";
import { ContainerFacts } from "@/features/evidence/container-facts";
import { spoken } from "@/model/words";
import { CodeBlock, Fact, Facts } from "@/ui/data";
import { Empty } from "@/ui/empty";
import { Panel } from "@/ui/panel";
import { TimeAgo } from "@/ui/time-ago";

export function EvidencePanel({ incident }: { incident: Incident }) {
  const evidence = incident.status?.evidence;
  const { source, logs } = incident.spec;
  const labels = Object.entries(source?.labels ?? {});
  return (
    <Panel
      title="Evidence"
      note={
        evidence?.collectedAt ? (
          <>
            collected <TimeAgo at={evidence.collectedAt} />
          </>
        ) : undefined
      }
    >
      {!evidence && !logs && (
        <Empty icon="clock" title="Being collected">
          Container state, logs, load and probe results are saved before anything is done.
        </Empty>
      )}
      <div className="space-y-4">
        {evidence?.containers?.map((container) => (
          <ContainerFacts key={container.id || container.name} container={container} />
        ))}
        {(evidence?.recentActions?.length ?? 0) > 0 && (
          <div>
            <h3 className="mb-1 font-medium text-sm">Earlier actions</h3>
            <ul className="space-y-0.5 text-sm">
              {evidence?.recentActions?.map((action) => (
                <li key={`${action.incident} ${action.action} ${action.at}`}>
                  {spoken(action.action)}
                  {action.replicas != null && ` to ${action.replicas} replicas`}{" "}
                  {action.incident ? `for ${action.alertType}` : "by hand, outside of any incident"},{" "}
                  <TimeAgo at={action.at} />
                  {action.verified != null && (action.verified ? ", verified" : ", did not help")}
                </li>
              ))}
            </ul>
          </div>
        )}
        {evidence?.gaps?.map((gap) => (
          <p key={gap} className="text-sm text-warn">
            Not collected: {gap}
          </p>
        ))}
        {(logs || labels.length > 0) && (
          <details className="group">
            <summary className="font-medium text-sm">What the sender said</summary>
            <div className="mt-2 space-y-2">
              {labels.length > 0 && (
                <Facts>
                  {labels.map(([name, value]) => (
                    <Fact key={name} name={name}>
                      {value}
                    </Fact>
                  ))}
                </Facts>
              )}
              {logs && <CodeBlock label="Logs the sender attached" text={logs} className="max-h-56" />}
            </div>
          </details>
        )}
      </div>
    </Panel>
  );
}
