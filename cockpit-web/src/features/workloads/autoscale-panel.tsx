// What autoscaling measures, wants and does, and why; rate, errors and duration of the requests to a workload.

import type { Workload } from "@/api/types";
import { useWorkloadRequests } from "@/live/traffic";
import { spoken } from "@/model/words";
import { Fact, Facts, Mono } from "@/ui/data";
import { Panel } from "@/ui/panel";
import { TimeAgo } from "@/ui/time-ago";

export function AutoscalePanel({ workload }: { workload: Workload }) {
  const { autoscale: spec } = workload.spec;
  const status = workload.status?.autoscale;
  if (!spec) return null;
  if (!status) {
    return (
      <Panel title="Autoscaling" note="spec.autoscale owns the replicas">
        <p className="text-sm text-soft">Nothing was measured yet.</p>
      </Panel>
    );
  }
  const paused = [
    spec.scaleUp?.selectPolicy === "Disabled" && "out",
    spec.scaleDown?.selectPolicy === "Disabled" && "in",
  ].filter(Boolean);
  return (
    <Panel title="Autoscaling" note="spec.autoscale owns the replicas">
      <p className="break-words text-sm">
        <span className="font-medium">{spoken(status.decision ?? "")}</span>
        {status.since && (
          <span className="text-faint text-xs">
            {" "}
            since <TimeAgo at={status.since} />
          </span>
        )}
        : {status.message}
      </p>
      <Facts>
        <Fact name="Replicas">
          {status.current} current, {status.serving} serving, {status.wanted ?? "unknown"} wanted,{" "}
          {status.desired} desired
        </Fact>
        <Fact name="Bounds">
          {status.min} to {status.max}
          {(status.min !== spec.min || status.max !== spec.max) && ", by the schedule"}
        </Fact>
        <Fact name="Windows">
          out {spec.scaleUpWindow ?? "0s"}
          {status.lowestInWindow !== undefined && ` (lowest answer ${status.lowestInWindow})`}, in{" "}
          {spec.scaleDownWindow ?? "5m"}
          {status.highestInWindow !== undefined && ` (highest answer ${status.highestInWindow})`}
        </Fact>
        {paused.length > 0 && <Fact name="Paused">scaling {paused.join(" and ")}</Fact>}
        {status.manualUntil && (
          <Fact name="Held for a person until">
            <TimeAgo at={status.manualUntil} />
          </Fact>
        )}
      </Facts>
      <ul aria-label="Targets" className="mt-3">
        {(status.targets ?? []).map((target) => (
          <li
            key={`${target.metric} ${target.target} ${target.message}`}
            className="flex flex-wrap items-center gap-x-3 gap-y-1 border-t py-2 text-sm"
          >
            <span className="min-w-40 flex-1">{target.metric}</span>
            <Mono>
              {target.current ?? "–"} of {target.target}
            </Mono>
            <span>{target.desired === undefined ? "no answer" : `needs ${target.desired}`}</span>
            {target.lostSince && (
              <p className="basis-full break-words text-warn text-xs">
                {target.message}, since <TimeAgo at={target.lostSince} />
              </p>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** Nothing where requests are not counted. */
export function RequestsPanel({ name }: { name: string }) {
  const { data } = useWorkloadRequests(name);
  if (!data) return null;
  const rates = data.rates ?? {};
  const time = (ms: number | null | undefined) =>
    ms === undefined || ms === null ? "–" : `${ms.toFixed(0)} ms`;
  return (
    <Panel title="Requests" note={`as load balancers saw them, over ${data.overSeconds} s`}>
      <Facts>
        <Fact name="Rate">{(rates.requestsPerSecond ?? 0).toFixed(1)} a second</Fact>
        <Fact name="Errors">
          {rates.errorPercent === undefined || rates.errorPercent === null
            ? "no answers"
            : `${rates.errorPercent.toFixed(1)} % 5xx`}
        </Fact>
        <Fact name="Duration">
          {time(rates.p50Ms)} half, {time(rates.p95Ms)} 95 of 100, {time(rates.p99Ms)} 99 of 100
        </Fact>
        <Fact name="In flight">{(rates.inFlight ?? 0).toFixed(1)}</Fact>
      </Facts>
    </Panel>
  );
}
