// The load of a workload's containers, with what happened to it.

import { useMemo } from "react";
import type { Workload } from "@/api/types";
import { useLoad, useMarks } from "@/live/load";
import { curve, memoryPercent } from "@/model/load";
import { Failure } from "@/ui/empty";
import { Panel } from "@/ui/panel";
import { MarkList, TimeChart } from "@/ui/time-chart";
import { RangeBar, useTimeRange } from "@/ui/time-range";
import { numbered } from "@/ui/time-series";
import { ofACore, ofTheLimit } from "@/ui/units";

/** Containers whose curves can still be distinguished. */
const MOST = 6;

export function LoadPanel({ workload }: { workload: Workload }) {
  const range = useTimeRange();
  const { window } = range;
  const instances = workload.status?.instances;
  const names = useMemo(
    () =>
      [...(instances ?? [])]
        .sort((a, b) => a.index - b.index)
        .map(({ name }) => name)
        .slice(0, MOST),
    [instances],
  );
  const { series, interval, error } = useLoad(names, range.minutes, { enabled: names.length > 0 });
  const happened = useMarks({ workload: workload.metadata.name });
  const marks = useMemo(() => numbered(happened, window), [happened, window]);
  const curves = useMemo(() => {
    const of = (name: string) => series.get(name) ?? [];
    return {
      cpu: names.map((name) => ({ name, points: curve(of(name), (one) => one.cpu_percent, interval) })),
      memory: names.map((name) => ({ name, points: curve(of(name), memoryPercent(of(name)), interval) })),
    };
  }, [names, series, interval]);
  if (names.length === 0) return null;
  const cut = (instances?.length ?? 0) - names.length;
  const shared = { window, marks, onZoom: range.zoom, sync: `load ${workload.metadata.name}` };
  return (
    <Panel
      title="Load"
      note={cut > 0 ? `of the first ${MOST}; ${cut} more are under Metrics` : undefined}
      actions={<RangeBar range={range} />}
    >
      {error && <Failure error={error} />}
      <div className="grid gap-x-6 gap-y-4 lg:grid-cols-2">
        <TimeChart {...shared} title="CPU, of one core" curves={curves.cpu} unit={ofACore} least={5} />
        <TimeChart
          {...shared}
          title="Memory, of its limit"
          curves={curves.memory}
          unit={ofTheLimit}
          least={5}
        />
      </div>
      <MarkList marks={marks} window={window} />
    </Panel>
  );
}
