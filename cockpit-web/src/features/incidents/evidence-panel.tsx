// What the controller itself saw, and what the sender said. All of it may be hostile: it is shown as text.

import type { ContainerEvidence, Incident } from "@/api/types";
import { spoken } from "@/model/words";
import { CodeBlock, Fact, Facts, Mono } from "@/ui/data";
import { Empty } from "@/ui/empty";
import { Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";

const MIB = 1024 * 1024;

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

function ContainerFacts({ container }: { container: ContainerEvidence }) {
  const { memoryBytes: used, memoryLimitBytes: limit } = container;
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-2">
        <h3 className="break-all font-medium text-sm">{container.name}</h3>
        <StateChip
          plain
          tone={container.state === "running" ? "ok" : "bad"}
          word={container.state ?? "unknown"}
        />
        {container.oomKilled && <StateChip tone="bad" word="Killed for want of memory" />}
      </div>
      <Facts>
        {used != null && (
          <Fact name="Memory">
            {Math.round(used / MIB)} MiB
            {limit ? ` of ${Math.round(limit / MIB)} (${Math.round((used / limit) * 100)} %)` : ""}
          </Fact>
        )}
        {container.cpuPercent != null && (
          <Fact name="CPU">{container.cpuPercent.toFixed(1)} % of a core</Fact>
        )}
        {container.exitCode != null && <Fact name="Exit code">{container.exitCode}</Fact>}
        <Fact name="Restarts by Docker">{container.restartCount ?? 0}</Fact>
        {container.startedAt && (
          <Fact name="Started">
            <TimeAgo at={container.startedAt} />
          </Fact>
        )}
        {container.dockerHealth && <Fact name="Docker's health check">{container.dockerHealth}</Fact>}
        {container.probe && (
          <Fact name="Probe" wide>
            <Mono>{container.probe}</Mono>
          </Fact>
        )}
        <Fact name="Image" wide>
          <Mono>{container.image}</Mono>
        </Fact>
      </Facts>
      {container.logTail && (
        <CodeBlock
          label={`Last log lines of ${container.name}`}
          text={container.logTail}
          className="max-h-56"
        />
      )}
    </div>
  );
}
