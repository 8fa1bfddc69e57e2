// What is in use of the host.

import type { FileSystemUse } from "@/api/types";
import { useHostMetrics } from "@/live/traffic";
import { Fact, Facts } from "@/ui/data";
import { Panel } from "@/ui/panel";
import { bytes, percent } from "@/ui/units";

export function HostPanel() {
  const { data } = useHostMetrics();
  if (!data?.t) return null;
  const { cpuRatio, cores, load1, load5, memoryAvailableBytes, memoryTotalBytes } = data;
  return (
    <Panel title="Host">
      <Facts columns={3}>
        <Fact name="CPU, of all cores">
          {typeof cpuRatio === "number" ? percent.show(cpuRatio * 100) : "–"}
          {cores ? ` of ${cores} core${cores === 1 ? "" : "s"}` : ""}
        </Fact>
        <Fact name="Load, 1 and 5 min">
          {typeof load1 === "number" && typeof load5 === "number"
            ? `${load1.toFixed(2)}, ${load5.toFixed(2)}`
            : "–"}
        </Fact>
        <Fact name="Memory">{used(memoryAvailableBytes, memoryTotalBytes)}</Fact>
        <Fact name="The engine's file system">{usedOf(data.engineDisk)}</Fact>
        <Fact name="The state directory's">{usedOf(data.stateDisk)}</Fact>
      </Facts>
    </Panel>
  );
}

const usedOf = (disk: FileSystemUse | null | undefined) => used(disk?.freeBytes, disk?.totalBytes);

function used(free: number | null | undefined, all: number | null | undefined): string {
  if (typeof free !== "number" || !all) return "–";
  return `${percent.show(((all - free) / all) * 100)} of ${bytes(all)}`;
}
