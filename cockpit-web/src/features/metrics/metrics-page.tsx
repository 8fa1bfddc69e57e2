// CPU, memory and network of every container, up to a day back, with what happened to it meanwhile.

import { memo, useMemo, useRef } from "react";
import { useContainers, useObjects } from "@/live/hooks";
import { useLoad, useMarks } from "@/live/load";
import { curve, limitOf, rate } from "@/model/load";
import { isRunning } from "@/model/workload";
import { useAddress } from "@/ui/address";
import { Empty, Failure, Loading } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { useInSight } from "@/ui/in-sight";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { MarkList, TimeChart } from "@/ui/time-chart";
import { RangeBar, type TimeRange, useTimeRange } from "@/ui/time-range";
import { numbered } from "@/ui/time-series";
import { bytesPerSecond, mebibytes, ofACore, percent } from "@/ui/units";
import { HostPanel } from "./host-panel";

const ALL: readonly string[] = [];
/** What every container is known by: the readings. A longer time is requested by the panels that are in sight. */
const READINGS = 15;

export default function MetricsPage() {
  const [search, set] = useAddress();
  const text = search.get("q") ?? "";
  const range = useTimeRange();
  const { series, pending, error } = useLoad(ALL, READINGS);
  const { data: workloads } = useObjects("Workload");
  // What is looked after comes first.
  const ours = useMemo(
    () =>
      new Set(
        [...(workloads?.values() ?? [])].flatMap((one) => one.status?.instances ?? []).map((one) => one.name),
      ),
    [workloads],
  );
  const names = [...series.keys()]
    .filter((name) => name.includes(text.trim()))
    .sort((a, b) => Number(ours.has(b)) - Number(ours.has(a)) || a.localeCompare(b));
  return (
    <Page
      title="Metrics"
      note="▲ incidents and ◆ changes are marked where they happened; drag over a chart to see that part"
      actions={
        <>
          <RangeBar range={range} />
          <SearchBox label="Filter containers" value={text} onChange={(value) => set("q", value)} />
        </>
      }
    >
      <HostPanel />
      {error && <Failure error={error} />}
      {series.size === 0 && pending && <Loading what="metrics" />}
      {series.size === 0 && !pending && !error && <Empty icon="metrics" title="Nothing was measured yet" />}
      {series.size > 0 && names.length === 0 && <Empty icon="search" title="No container matches" />}
      {names.map((name) => (
        <Container key={name} name={name} range={range} />
      ))}
    </Page>
  );
}

const Container = memo(function Container({ name, range }: { name: string; range: TimeRange }) {
  const place = useRef<HTMLDivElement>(null);
  const { ever: seen } = useInSight(place);
  const names = useMemo(() => [name], [name]);
  const { series, interval, error } = useLoad(names, range.minutes, {
    enabled: seen,
    together: range.minutes <= READINGS,
  });
  const { data: containers } = useContainers();
  const { window } = range;
  const happened = useMarks({ container: name });
  const marks = useMemo(() => numbered(happened, window), [happened, window]);
  const samples = useMemo(() => series.get(name) ?? [], [series, name]);
  const curves = useMemo(
    () => ({
      cpu: [{ name: "CPU", points: curve(samples, (sample) => sample.cpu_percent, interval) }],
      memory: [{ name: "Memory", points: curve(samples, (sample) => sample.memory_mb, interval) }],
      net: [
        { name: "in", points: rate(samples, (sample) => sample.net_rx_bytes, interval) },
        { name: "out", points: rate(samples, (sample) => sample.net_tx_bytes, interval) },
      ],
    }),
    [samples, interval],
  );
  const last = samples[samples.length - 1];
  const status = containers?.find((row) => row.name === name)?.status;
  const limit = limitOf(samples);
  const used = last && limit > 0 ? (last.memory_mb / limit) * 100 : 0;
  // A limit far above is no limit anybody runs into, and would flatten the curve.
  const isNear = limit > 0 && samples.some((sample) => sample.memory_mb > limit * 0.02);
  const lines = useMemo(() => (isNear ? [{ value: limit, name: "limit" }] : []), [isNear, limit]);
  const shared = { marks, window, onZoom: range.zoom, sync: `load ${name}` };
  return (
    <Panel
      title={name}
      note={
        last && limit > 0
          ? `${mebibytes.show(last.memory_mb)} of ${mebibytes.show(limit)} (${percent.show(used)})`
          : undefined
      }
      actions={status && <StateChip plain tone={isRunning(status) ? "ok" : "bad"} word={status} />}
      className="[contain-intrinsic-size:auto_18rem] [content-visibility:auto]"
    >
      {error && <Failure error={error} />}
      <div ref={place} className="grid gap-x-6 gap-y-4 md:grid-cols-3">
        <TimeChart {...shared} title="CPU, of one core" curves={curves.cpu} unit={ofACore} least={5} />
        <TimeChart
          {...shared}
          title={isNear ? "Memory against its limit" : "Memory"}
          curves={curves.memory}
          unit={mebibytes}
          lines={lines}
          least={8}
        />
        <TimeChart
          {...shared}
          title="Network"
          note={range.minutes > READINGS ? "kept for 15 min" : undefined}
          curves={curves.net}
          unit={bytesPerSecond}
          least={1024}
        />
      </div>
      <MarkList marks={marks} window={window} />
    </Panel>
  );
});
