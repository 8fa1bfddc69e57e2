// The load as charts show it: what the controller kept of these containers, followed by what has come since.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ApiError, request } from "@/api/request";
import type { Answer, KubeEvent } from "@/api/types";
import type { Sample } from "@/model/load";
import { about, changes, markOf, workloadOf } from "@/model/load";
import type { Mark } from "@/ui/time-series";
import { join, type Series } from "./history";
import { useLiveSeries, useObjects } from "./hooks";

type Kept = { series: Series; interval: number; leftOut: readonly string[] };

const NOTHING: Kept = { series: new Map(), interval: 0, leftOut: [] };
/** Minutes that the readings reach back; what is older is by the minute. */
const READINGS = 15;
/** What has come since is kept here for a quarter of an hour: before that is over, the rest is requested again. */
const AGAIN_MS = 5 * 60_000;

/** What the controller kept; nothing where it keeps nothing. */
async function history(names: readonly string[], minutes: number, signal: AbortSignal): Promise<Kept> {
  const query = new URLSearchParams([
    ["minutes", String(minutes)],
    ...names.map((name): [string, string] => ["name", name]),
  ]);
  try {
    return kept(await request<Answer<"/metrics/history">>(`/metrics/history?${query}`, { signal }));
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return NOTHING;
    throw error;
  }
}

export function kept(answer: Answer<"/metrics/history">): Kept {
  const series = answer.series.map(({ name, samples, minute_samples = 0 }): [string, Sample[]] => [
    name,
    samples.map(({ t, ...rest }, index) => ({
      ...rest,
      at: Date.parse(t),
      ...(index < minute_samples && { minute: true }),
    })),
  ]);
  return { series: new Map(series), interval: answer.intervalSeconds, leftOut: answer.leftOut ?? [] };
}

export type Load = Kept & { pending: boolean; error: Error | null };

type Asking = {
  /** Whether it is wanted at all; true where it is not said. */
  enabled?: boolean;
  /** All containers are requested at once, so that many charts share one request. */
  together?: boolean;
};

/** Of these containers; of all that were read in the last minutes where none is named. */
export function useLoad(
  names: readonly string[],
  minutes: number,
  { enabled = true, together = false }: Asking = {},
): Load {
  const since = useLiveSeries();
  const requested = together ? [] : names;
  const { data, isPending, error } = useQuery({
    queryKey: ["metrics", "history", minutes, ...requested],
    queryFn: ({ signal }) => history(requested, minutes, signal),
    enabled,
    placeholderData: keepPreviousData,
    structuralSharing: false,
    refetchInterval: minutes > READINGS ? AGAIN_MS : false,
    gcTime: 0,
  });
  const { series, interval, leftOut } = data ?? NOTHING;
  const wanted = names.join("\n");
  const joined = useMemo(() => {
    if (wanted === "") return join(series, since);
    const own = wanted.split("\n");
    return join(only(series, own), only(since, own));
  }, [series, since, wanted]);
  return { series: joined, interval, leftOut, pending: isPending && enabled, error };
}

function only(series: Series, names: readonly string[]): Series {
  return new Map(
    names.flatMap((name): [string, readonly Sample[]][] => {
      const samples = series.get(name);
      return samples ? [[name, samples]] : [];
    }),
  );
}

/** Marks that are shown at once. */
const MOST_MARKS = 60;

/** Incidents and changes of a container, or of a workload; the newest ones where there are many. */
export function useMarks({ container, workload }: { container?: string; workload?: string }): Mark[] {
  const { data: incidents } = useObjects("Incident");
  const { data: workloads } = useObjects("Workload");
  const { data: events } = useQuery({
    queryKey: ["events"],
    queryFn: ({ signal }) => request<{ items: KubeEvent[] }>("/api/v1/events", { signal }),
    // No frame brings Events: what was read for another page may be old.
    refetchOnMount: "always",
  });
  const name = container ?? workload ?? "";
  return useMemo(() => {
    const owner = workload
      ? workloads?.get(workload)
      : workloadOf(container ?? "", workloads?.values() ?? []);
    const concerned = about(incidents?.values() ?? [], name);
    const changed = owner ? changes(owner, events?.items ?? []) : [];
    // Of a workload's changes, those that name another of its containers are not this one's.
    const others = (owner?.status?.instances ?? []).map((one) => one.name).filter((one) => one !== container);
    const own = container
      ? changed.filter((mark) => !others.some((other) => words(mark.name).includes(other)))
      : changed;
    return [...concerned.map((incident) => markOf(incident)), ...own]
      .sort((a, b) => b.at - a.at)
      .slice(0, MOST_MARKS);
  }, [incidents, workloads, events, container, workload, name]);
}

const words = (text: string) => text.split(/[\s:,]+/);
