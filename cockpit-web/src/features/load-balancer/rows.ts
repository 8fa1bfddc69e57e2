// The rows of the requests' table: an upstream, then its servers. Pure.

import type { BalancerMetrics, RequestRates } from "@/api/types";

export type Row = { key: string; name: string; note?: string | null; whole: boolean; rates: RequestRates };

export function rowsOf({ upstreams = [], servers = [] }: BalancerMetrics): Row[] {
  const names = new Set([...upstreams, ...servers].map((one) => one.upstream ?? ""));
  return [...names].sort().flatMap((upstream): Row[] => {
    const whole = upstreams.find((one) => one.upstream === upstream);
    const own = servers.filter((one) => one.upstream === upstream);
    return [
      { key: upstream, name: upstream, note: "upstream", whole: true, rates: whole?.rates ?? {} },
      ...own.map((server) => ({
        key: `${upstream} ${server.container}`,
        name: server.container ?? "",
        note: server.inRotation ? server.address : "has left",
        whole: false,
        rates: server.rates ?? {},
      })),
    ];
  });
}
