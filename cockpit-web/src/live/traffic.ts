// What the controller counts of load balancers and reads of the host, requested as often as it is read.

import { useQuery } from "@tanstack/react-query";
import { ApiError, request } from "@/api/request";
import type { Answer, BalancerMetrics, HostMetrics, WorkloadRequests } from "@/api/types";

const EVERY_MS = 3_000;

/** Null where the controller does not have it: an older one, or a load balancer that is gone. */
async function orNothing<T>(path: string, signal: AbortSignal): Promise<T | null> {
  try {
    return await request<T>(path, { signal });
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return null;
    throw error;
  }
}

export function useBalancerMetrics(name: string) {
  return useQuery({
    queryKey: ["metrics", "load-balancers", name],
    queryFn: async ({ signal }): Promise<BalancerMetrics | null> => {
      const path = `/metrics/load-balancers?${new URLSearchParams({ name })}`;
      const all = await orNothing<Answer<"/metrics/load-balancers">>(path, signal);
      return all?.find((one) => one.name === name) ?? null;
    },
    refetchInterval: EVERY_MS,
  });
}

export function useWorkloadRequests(name: string) {
  return useQuery({
    queryKey: ["metrics", "workloads", name],
    queryFn: async ({ signal }): Promise<WorkloadRequests | null> => {
      const all = await orNothing<Answer<"/metrics/workloads">>("/metrics/workloads", signal);
      return all?.find((one) => one.workload === name) ?? null;
    },
    refetchInterval: EVERY_MS,
  });
}

export function useHostMetrics() {
  return useQuery({
    queryKey: ["metrics", "host"],
    queryFn: ({ signal }): Promise<HostMetrics | null> =>
      orNothing<Answer<"/metrics/host">>("/metrics/host", signal),
    refetchInterval: EVERY_MS,
  });
}
