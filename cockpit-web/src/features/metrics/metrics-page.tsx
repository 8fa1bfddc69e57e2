// CPU, memory and network of every container over fifteen minutes, with the incidents that happened meanwhile.

import { useQuery } from "@tanstack/react-query";
import { memo, useMemo } from "react";
import { Link, useSearchParams } from "react-router";
import { ApiError, request } from "@/api/request";
import type { Answer, Incident } from "@/api/types";
import { join, KEPT_MS, type Sample, type Series } from "@/live/history";
import { useContainers, useLiveSeries, useObjects } from "@/live/hooks";
import { beganAt, endedAt, phaseOf } from "@/model/incident";
import { spoken } from "@/model/words";
import { isRunning } from "@/model/workload";
import { useNow } from "@/ui/clock";
import { Empty, Loading } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { bytes, type Point, rates } from "./chart";
import { type Mark, TimeChart } from "./time-chart";

const NONE: Series = new Map();

/** What the controller kept; nothing where it keeps nothing. */
async function history(signal: AbortSignal): Promise<Series> {
  try {
    const { series } = await request<Answer<"/metrics/history">>("/metrics/history?minutes=15", { signal });
    return new Map(
      series.map(({ name, samples }) => [
        name,
        samples.map(({ t, ...rest }) => ({ ...rest, at: Date.parse(t) })),
      ]),
    );
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return NONE;
    throw error;
  }
}

export default function MetricsPage() {
  const [search, setSearch] = useSearchParams();
  const text = search.get("q") ?? "";
  const since = useLiveSeries();
  const { data: kept } = useQuery({
    queryKey: ["metrics", "history"],
    queryFn: ({ signal }) => history(signal),
    structuralSharing: false,
    gcTime: 0,
  });
  const series = useMemo(() => join(kept ?? NONE, since), [kept, since]);
  const { data: incidents } = useObjects("Incident");
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
  // Moves every three seconds, as the samples do: not with every tick of the clock.
  const to = Math.ceil(useNow() / 3000) * 3000;
  return (
    <Page
      title="Metrics"
      note="the last 15 minutes; incidents are marked where they happened"
      actions={
        <SearchBox
          label="Filter containers"
          value={text}
          onChange={(value) => setSearch(value ? { q: value } : {}, { replace: true })}
        />
      }
    >
      {series.size === 0 && <Loading what="metrics" />}
      {series.size > 0 && names.length === 0 && <Empty icon="search" title="No container matches" />}
      {names.map((name) => (
        <Container key={name} name={name} samples={series.get(name) ?? []} incidents={incidents} to={to} />
      ))}
    </Page>
  );
}

type ContainerProps = {
  name: string;
  samples: readonly Sample[];
  incidents: ReadonlyMap<string, Incident> | undefined;
  to: number;
};

const points = (samples: readonly Sample[], of: (sample: Sample) => number | null | undefined): Point[] =>
  samples.flatMap((sample) => {
    const value = of(sample);
    return value == null ? [] : [{ at: sample.at, value }];
  });

const Container = memo(function Container({ name, samples, incidents, to }: ContainerProps) {
  const from = to - KEPT_MS;
  const { data: containers } = useContainers();
  const concerned = useMemo(() => about(incidents, name, from), [incidents, name, from]);
  const marks = concerned.map((incident): Mark => {
    const ended = endedAt(incident);
    const at = Date.parse(beganAt(incident));
    return {
      at: Math.max(at, from),
      until: Math.min(ended ? Date.parse(ended) : to, to),
      name: `${spoken(incident.spec.alertType)}, ${spoken(phaseOf(incident))}`,
      bad: phaseOf(incident) !== "RESOLVED",
    };
  });
  const curves = useMemo(
    () => ({
      cpu: [{ name: "CPU", look: "stroke-accent", points: points(samples, (sample) => sample.cpu_percent) }],
      memory: [
        { name: "Memory", look: "stroke-accent", points: points(samples, (sample) => sample.memory_mb) },
      ],
      net: [
        {
          name: "in",
          look: "stroke-accent",
          points: rates(points(samples, (sample) => sample.net_rx_bytes)),
        },
        { name: "out", look: "stroke-ok", points: rates(points(samples, (sample) => sample.net_tx_bytes)) },
      ],
    }),
    [samples],
  );
  const last = samples[samples.length - 1];
  const status = containers?.find((row) => row.name === name)?.status;
  const limit = last?.memory_limit_mb ?? 0;
  // A limit far above is no limit anybody runs into, and would flatten the curve.
  const near =
    limit > 0 && samples.some((sample) => (sample.memory_percent ?? 0) > 2)
      ? { value: limit, name: "limit" }
      : undefined;
  const percent = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} %`;
  return (
    <Panel
      title={name}
      note={
        last
          ? `${last.memory_mb.toFixed(0)} of ${limit.toFixed(0)} MiB (${percent(last.memory_percent)})`
          : undefined
      }
      actions={
        <span className="flex flex-wrap items-center gap-3">
          {concerned.map((incident) => (
            <Link
              key={incident.metadata.name}
              to={`/incidents/${encodeURIComponent(incident.metadata.name)}`}
              className="text-accent text-xs hover:underline"
            >
              {spoken(incident.spec.alertType)}
            </Link>
          ))}
          {status && <StateChip plain tone={isRunning(status) ? "ok" : "bad"} word={status} />}
        </span>
      }
      className="[contain-intrinsic-size:auto_14rem] [content-visibility:auto]"
    >
      <div className="grid gap-x-6 gap-y-4 md:grid-cols-3">
        <TimeChart
          title="CPU, of one core"
          curves={curves.cpu}
          marks={marks}
          from={from}
          to={to}
          show={percent}
          least={5}
        />
        <TimeChart
          title={near ? "Memory against its limit" : "Memory"}
          curves={curves.memory}
          marks={marks}
          from={from}
          to={to}
          show={(value) => `${value.toFixed(value < 10 ? 1 : 0)} MiB`}
          limit={near}
          least={8}
        />
        <TimeChart
          title="Network"
          curves={curves.net}
          marks={marks}
          from={from}
          to={to}
          show={(value) => `${bytes(value)}/s`}
          least={1024}
        />
      </div>
    </Panel>
  );
});

function about(
  incidents: ReadonlyMap<string, Incident> | undefined,
  container: string,
  from: number,
): Incident[] {
  return [...(incidents?.values() ?? [])].filter((incident) => {
    const ended = endedAt(incident);
    if (ended && Date.parse(ended) < from) return false;
    const named = [incident.spec.containerName, incident.status?.workload, incident.spec.workloadRef];
    const touched = incident.status?.execution?.containers ?? [];
    return named.includes(container) || touched.includes(container);
  });
}
