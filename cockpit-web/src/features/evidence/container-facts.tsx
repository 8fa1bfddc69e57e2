// One container as it was before anything was done to it. All of it may be hostile: it is shown as text.

import type { ContainerEvidence } from "@/api/types";
import { isRunning } from "@/model/workload";
import { CodeBlock, Fact, Facts, Mono } from "@/ui/data";
import { StateChip } from "@/ui/state-chip";
import { TimeAgo } from "@/ui/time-ago";

const MIB = 1024 * 1024;

export function ContainerFacts({ container }: { container: ContainerEvidence }) {
  const { memoryBytes: used, memoryLimitBytes: limit } = container;
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-2">
        <h3 className="break-all font-medium text-sm">{container.name}</h3>
        <StateChip
          plain
          tone={isRunning(container.state) ? "ok" : "bad"}
          word={container.state ?? "unknown"}
        />
        {container.oomKilled && <StateChip tone="bad" word="OOM-killed" />}
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
      <Lines of={container.name ?? "the container"} what="Processes" lines={container.processes} />
      <Lines of={container.name ?? "the container"} what="Changed files" lines={container.filesystem} />
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

function Lines({ of, what, lines }: { of: string; what: string; lines?: string[] }) {
  if (!lines?.length) return null;
  return (
    <details>
      <summary className="font-medium text-sm">
        {what} <span className="font-normal text-faint text-xs">{lines.length}</span>
      </summary>
      <CodeBlock label={`${what} of ${of}`} text={lines.join("\n")} className="mt-2 max-h-56" />
    </details>
  );
}
