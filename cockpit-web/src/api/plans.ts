// What a change would do, as the controller's own planner answers it. Nothing is changed by asking.

import { useQuery } from "@tanstack/react-query";
import type { Operation } from "./kinds";
import { request } from "./request";
import type { WorkloadPlan } from "./types";

const BASE = "/apis/aegisops.io/v1alpha1";

/** A merge patch, or the operations of a JSON patch. */
export type Change = object | readonly Operation[];

/** What a workload's containers would go through with this change; requested again when the workload is another one. */
export function useWorkloadPlan(
  name: string,
  generation: number | undefined,
  change: Change,
  enabled: boolean,
) {
  const contentType = Array.isArray(change) ? "application/json-patch+json" : "application/merge-patch+json";
  return useQuery({
    queryKey: ["plan", "Workload", name, generation, change],
    queryFn: ({ signal }) =>
      request<WorkloadPlan>(`${BASE}/workloads/${encodeURIComponent(name)}/plan`, {
        method: "POST",
        body: change,
        contentType,
        signal,
      }),
    enabled,
    retry: false,
    gcTime: 0,
    // Of this moment: what it is about may be another one the next time it is asked.
    staleTime: 0,
  });
}

/** What an incident's plan would do to the workload as it is now. */
export function useIncidentPlan(name: string, hash: string, enabled: boolean) {
  return useQuery({
    queryKey: ["plan", "Incident", name, hash],
    queryFn: ({ signal }) =>
      request<WorkloadPlan>(`${BASE}/incidents/${encodeURIComponent(name)}/plan`, { signal }),
    enabled,
    retry: false,
    gcTime: 0,
    // A plan may wait for a day: what it would do is asked again while somebody looks at it.
    staleTime: 0,
    refetchInterval: 15_000,
  });
}
