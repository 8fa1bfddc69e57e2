// Every detector: what it watches, from when on it fires, and for whom it does.

import { Link } from "react-router";
import type { Detector } from "@/api/types";
import { useObjects } from "@/live/hooks";
import { useAddress } from "@/ui/address";
import { Empty, Failure, Loading } from "@/ui/empty";
import { SearchBox } from "@/ui/field";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import { Firing, SeverityChip } from "./parts";
import { boundOf, shownValue, signalOf, spanOf } from "./signals";
import { byGravity, ORDER, rowsOf, STATES, type State, stateOf, stateOfRow, whyUnmeasured } from "./standing";

export default function Detectors() {
  const [search, set] = useAddress();
  const text = search.get("q") ?? "";
  const wanted = ORDER.find((state) => state === search.get("state"));
  const { data, error, refetch } = useObjects("Detector");
  const all = [...(data?.values() ?? [])].sort(byGravity);
  const found = all.filter((one) => matches(one, text) && (!wanted || stateOf(one) === wanted));
  return (
    <Page
      title="Detectors"
      note="conditions that open an incident by themselves, with what each reads now"
      actions={
        <>
          <States all={all} wanted={wanted} choose={(state) => set("state", state === wanted ? "" : state)} />
          <SearchBox label="Filter detectors" value={text} onChange={(value) => set("q", value)} />
        </>
      }
    >
      <Panel title={`${found.length} of ${all.length}`} flush>
        {error && <Failure error={error} retry={() => void refetch()} />}
        {!data && !error && <Loading what="detectors" />}
        {data && found.length === 0 && (
          <Empty icon="detector" title={all.length > 0 ? "No detector matches" : "No detectors"}>
            {all.length > 0 ? (
              "Look for another word, or for another state."
            ) : (
              <>
                Without them only alerts open incidents. Write one under{" "}
                <Link to="/manifests" className="text-accent underline underline-offset-2">
                  Manifests
                </Link>
                .
              </>
            )}
          </Empty>
        )}
        {found.length > 0 && (
          <ul aria-label="Detectors">
            {found.map((detector) => (
              <Row key={detector.metadata.name} detector={detector} />
            ))}
          </ul>
        )}
      </Panel>
    </Page>
  );
}

function matches({ metadata, spec, status }: Detector, text: string): boolean {
  const wanted = text.trim().toLowerCase();
  const words = [metadata.name, spec.alertType, spec.signal, signalOf(spec)];
  const workloads = (status?.workloads ?? []).map(({ workload }) => workload);
  return [...words, ...workloads].some((word) => word?.toLowerCase().includes(wanted));
}

type StatesProps = { all: readonly Detector[]; wanted: State | undefined; choose: (state: State) => void };

function States({ all, wanted, choose }: StatesProps) {
  return (
    <div role="group" aria-label="States" className="flex flex-wrap rounded-md border bg-panel p-0.5">
      {ORDER.map((state) => (
        <button
          key={state}
          type="button"
          aria-pressed={state === wanted}
          onClick={() => choose(state)}
          className="h-7 rounded px-2.5 text-faint text-sm hover:text-ink aria-pressed:bg-accent-tint aria-pressed:font-medium aria-pressed:text-accent"
        >
          {STATES[state].word}{" "}
          <span className="tabular-nums">{all.filter((one) => stateOf(one) === state).length}</span>
        </button>
      ))}
    </div>
  );
}

/** Rows of a detector that the list shows. */
const MOST = 5;

function Row({ detector }: { detector: Detector }) {
  const { metadata, spec, status } = detector;
  const state = stateOf(detector);
  const bound = boundOf(spec);
  const [held, clear] = [spanOf(spec.for), spanOf(spec.clear ?? "1m")];
  const rows = rowsOf(detector);
  const loud = rows.filter((row) => ["firing", "pending"].includes(stateOfRow(row)));
  return (
    <li className="border-b last:border-b-0" data-state={state}>
      <Link
        data-row
        to={`/detectors/${encodeURIComponent(metadata.name)}`}
        className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-4 gap-y-1 px-4 py-2 hover:bg-hover focus-visible:-outline-offset-2 lg:grid-cols-[minmax(0,1fr)_minmax(0,1.6fr)_6rem_6rem_8rem]"
      >
        <span className="min-w-0">
          <span className="block truncate font-medium text-sm">{metadata.name}</span>
          <span className="block truncate text-faint text-xs">{spec.alertType}</span>
        </span>
        <span className="order-3 col-span-2 min-w-0 text-sm lg:order-none lg:col-span-1">
          <span className="block break-words">
            {signalOf(spec)}
            {bound && <span className="font-medium"> {bound}</span>}
          </span>
          <span className="block text-faint text-xs">
            {held ? `for ${held}` : "at once"}, {clear ? `clear after ${clear}` : "clear at once"}
          </span>
        </span>
        <span className="hidden text-sm tabular-nums lg:block">
          {status?.value != null && (
            <>
              <span className="block text-faint text-xs">{rows.length > 1 ? "highest" : "now"}</span>
              {shownValue(spec, status.value, true)}
            </>
          )}
        </span>
        <span className="hidden lg:flex">
          <SeverityChip severity={spec.severity} />
        </span>
        <span className="justify-self-end">
          <StateChip tone={STATES[state].tone} icon={STATES[state].icon} word={STATES[state].word} />
        </span>
      </Link>
      {state === "unmeasured" && (
        <p className="px-4 pb-2 text-faint text-xs">Not measured: {whyUnmeasured(detector)}</p>
      )}
      {loud.length > 0 && (
        <ul aria-label={`Where ${metadata.name} holds`} className="mx-4 mb-2 rounded-md border bg-sunken">
          {loud.slice(0, MOST).map((row) => (
            <Firing key={row.workload ?? ""} row={row} spec={spec} />
          ))}
          {loud.length > MOST && (
            <li className="px-3 py-1.5 text-faint text-xs">and {loud.length - MOST} more</li>
          )}
        </ul>
      )}
    </li>
  );
}
