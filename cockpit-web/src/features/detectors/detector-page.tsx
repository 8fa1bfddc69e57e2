// One detector: from when on it fires, what it reads of each workload, and the curve of that where there is one.

import { useMemo } from "react";
import { Link, useParams } from "react-router";
import type { Detector, DetectorWorkload } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { useLoad, useMarks } from "@/live/load";
import { spoken } from "@/model/words";
import { useAddress } from "@/ui/address";
import { Fact, Facts, Mono } from "@/ui/data";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Select } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { MarkList, TimeChart } from "@/ui/time-chart";
import { RangeBar, useTimeRange } from "@/ui/time-range";
import { numbered } from "@/ui/time-series";
import { drawn } from "./curves";
import { Firing, SeverityChip } from "./parts";
import { boundOf, type Curved, signalOf, spanOf, thresholdOf, wordsOf } from "./signals";
import { rowsOf, STATES, stateOf, stateOfRow, whyUnmeasured } from "./standing";

export default function DetectorPage() {
  const { name = "" } = useParams();
  const { data, error, refetch } = useObjects("Detector");
  if (error) return <Failure error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what="the detector" />;
  const detector = data.get(name);
  if (!detector) {
    return (
      <Empty icon="search" title="There is no such detector">
        <Link to="/detectors" className="text-accent underline underline-offset-2">
          See those there are
        </Link>
      </Empty>
    );
  }
  return <DetectorView detector={detector} />;
}

function DetectorView({ detector }: { detector: Detector }) {
  const { metadata, spec } = detector;
  const state = stateOf(detector);
  const { word, tone, icon } = STATES[state];
  const rows = rowsOf(detector);
  const kind = spec.signal ? wordsOf(spec.signal).curve : undefined;
  return (
    <Page
      title={
        <span className="flex flex-wrap items-center gap-3">
          <span className="break-all">{metadata.name}</span>
          <StateChip tone={tone} icon={icon} word={word} />
        </span>
      }
      note={state === "unmeasured" ? whyUnmeasured(detector) : spoken(spec.alertType)}
    >
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1.700fr)_minmax(0,1fr)]">
        <div className="min-w-0 space-y-4">
          {kind && rows.length > 0 && <Chart detector={detector} rows={rows} kind={kind} />}
          <Rows detector={detector} rows={rows} />
        </div>
        <div className="min-w-0 space-y-4">
          <Spec detector={detector} />
        </div>
      </div>
    </Page>
  );
}

function Rows({ detector, rows }: { detector: Detector; rows: readonly DetectorWorkload[] }) {
  const { spec, status } = detector;
  const firing = status?.firing ?? 0;
  return (
    <Panel
      title="Workloads"
      note={`fires for ${firing} of ${rows.length}${rows.length >= MOST_ROWS ? "; no more are listed" : ""}`}
      flush
    >
      {rows.length === 0 && (
        <Empty icon="workload" title="None">
          {whyUnmeasured(detector)}
        </Empty>
      )}
      <ul aria-label="Workloads">
        {rows.map((row) => (
          <Firing key={row.workload ?? ""} row={row} spec={spec} />
        ))}
      </ul>
    </Panel>
  );
}

/** As many as the controller lists. */
const MOST_ROWS = 200;

function Spec({ detector }: { detector: Detector }) {
  const { metadata, spec, status } = detector;
  const { names = [], matchLabels = {} } = spec.workloads ?? {};
  const labels = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`);
  return (
    <Panel
      title="Condition"
      actions={
        <Link
          to={`/manifests/Detector/${encodeURIComponent(metadata.name)}`}
          className="text-accent text-xs hover:underline"
        >
          Edit the manifest
        </Link>
      }
    >
      <Facts>
        <Fact name="Signal">
          {spec.signal ? <Mono>{spec.signal}</Mono> : "SLO"}
          <span className="block text-faint text-xs">{signalOf(spec)}</span>
        </Fact>
        <Fact name="Threshold">
          {boundOf(spec) ?? "none: it holds, or it does not"}
          {spec.threshold == null && boundOf(spec) && !spec.slo && (
            <span className="block text-faint text-xs">the default of the signal</span>
          )}
        </Fact>
        <Fact name="For">{spanOf(spec.for) ?? "at once"}</Fact>
        <Fact name="Clear after">{spanOf(spec.clear ?? "1m") ?? "at once"}</Fact>
        <Fact name="Severity">
          <SeverityChip severity={spec.severity} />
        </Fact>
        <Fact name="Alert type">
          <Mono>{spec.alertType}</Mono>
        </Fact>
        <Fact name="Watches">{[...names, ...labels].join(", ") || "all workloads"}</Fact>
        <Fact name="Incidents opened">{status?.incidentsOpened ?? 0}</Fact>
      </Facts>
    </Panel>
  );
}

/** Containers of a workload whose curves can still be distinguished. */
const MOST_CURVES = 6;
/** What is usual is that of a day. */
const DAY = 1440;

type ChartProps = { detector: Detector; rows: readonly DetectorWorkload[]; kind: Curved };

function Chart({ detector, rows, kind }: ChartProps) {
  const [search, set] = useAddress();
  const range = useTimeRange();
  const { window } = range;
  const wanted = search.get("workload");
  const row = rows.find(({ workload }) => workload === wanted) ?? rows[0];
  const { data: workloads } = useObjects("Workload");
  const workload = row?.workload ?? "";
  const instances = workloads?.get(workload)?.status?.instances;
  const single = kind !== "cpu" && kind !== "memory";
  const names = useMemo(() => {
    const all = [...new Set([row?.container, ...(instances ?? []).map((one) => one.name)])];
    return all.filter((name): name is string => !!name).slice(0, single ? 1 : MOST_CURVES);
  }, [row?.container, instances, single]);
  const minutes = kind.endsWith("anomaly") ? DAY : range.minutes;
  const { series, interval, error, pending } = useLoad(names, minutes, {
    enabled: workloads !== undefined && names.length > 0,
  });
  const happened = useMarks({ workload });
  const marks = useMemo(() => numbered(happened, window), [happened, window]);
  const threshold = thresholdOf(detector.spec) ?? 0;
  const shown = useMemo(() => {
    const own = names.map((name): [string, NonNullable<ReturnType<typeof series.get>>] => [
      name,
      series.get(name) ?? [],
    ]);
    return drawn({ kind, threshold, series: own, interval, now: Date.now() });
  }, [names, series, kind, threshold, interval]);
  const cut = (instances?.length ?? 0) - names.length;
  return (
    <Panel
      title="Signal"
      note={rows.length > 1 ? undefined : workload}
      actions={
        <>
          {rows.length > 1 && (
            <Select
              aria-label="Workload"
              className="max-w-60"
              value={workload}
              onChange={(event) => set("workload", event.target.value)}
            >
              {rows.map((one) => (
                <option key={one.workload ?? ""} value={one.workload ?? ""}>
                  {one.workload} ({STATES[stateOfRow(one)].word.toLowerCase()})
                </option>
              ))}
            </Select>
          )}
          <RangeBar range={range} />
        </>
      }
    >
      {error && <Failure error={error} />}
      {names.length === 0 ? (
        <Empty icon="metrics" title="It has no containers" />
      ) : (
        <>
          <TimeChart
            title={shown.title}
            note={pending ? "loading" : shown.note}
            curves={shown.curves}
            lines={shown.lines}
            unit={shown.unit}
            least={shown.least}
            window={window}
            marks={marks}
            onZoom={range.zoom}
            height="h-72"
          />
          {cut > 0 && (
            <p className="text-faint text-xs">
              {single
                ? `The container that decides is shown; ${workload} has ${cut} more.`
                : `${cut} more of its containers are not shown.`}
            </p>
          )}
          <MarkList marks={marks} window={window} />
        </>
      )}
    </Panel>
  );
}
