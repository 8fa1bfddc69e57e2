// The live layer as pages see it.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";
import { list } from "@/api/kinds";
import { request, socketProtocols } from "@/api/request";
import type { Answer, Kind } from "@/api/types";
import type { Socket } from "./connection";
import { keys, Live } from "./live";
import type { Objects } from "./recent";

const LiveContext = createContext<Live | undefined>(undefined);

type ProviderProps = {
  children: ReactNode;
  open?: (query: string) => Socket;
  refused?: () => void;
  live?: Live;
};

export function LiveProvider({ children, open = openSocket, refused, live: given }: ProviderProps) {
  const queries = useQueryClient();
  const [live] = useState(() => given ?? new Live({ queries, open, refused }));
  useEffect(() => {
    live.connection.start();
    const again = () => live.connection.retryNow();
    window.addEventListener("online", again);
    return () => {
      window.removeEventListener("online", again);
      live.connection.stop();
      // Nothing keeps these up to date any more, and the next session may be another's.
      queries.removeQueries();
    };
  }, [live, queries]);
  return <LiveContext value={live}>{children}</LiveContext>;
}

function openSocket(query: string): Socket {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}/ws?${query}`, socketProtocols());
}

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error("useLive needs a LiveProvider above it");
  return live;
}

export function useConnection() {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.state);
}

export function useLog() {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.log);
}

export function useLiveSeries() {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.series);
}

export function useReasoning(incidentId: string) {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.reasoning(incidentId));
}

/** Every object of a kind, by name; kept up to date by frames. */
export function useObjects<K extends Kind>(kind: K) {
  const live = useLive();
  return useQuery<Objects<K>>({
    queryKey: keys.objects(kind),
    queryFn: async ({ signal }) => live.merge(kind, await list(kind, signal)),
    structuralSharing: false,
  });
}

export function useTopology() {
  return useQuery({
    queryKey: keys.topology,
    queryFn: ({ signal }) => request<Answer<"/topology">>("/topology", { signal }),
  });
}

export function useMetrics() {
  return useQuery({
    queryKey: keys.metrics,
    queryFn: ({ signal }) => request<Answer<"/metrics">>("/metrics", { signal }),
  });
}

export function useContainers() {
  return useQuery({
    queryKey: keys.containers,
    queryFn: ({ signal }) => request<Answer<"/containers">>("/containers", { signal }),
  });
}

/** Whether automation is paused, on the host and for single workloads; kept up to date by frames. */
export function useAutomation() {
  return useQuery({
    queryKey: keys.automation,
    queryFn: ({ signal }) => request<Answer<"/automation">>("/automation", { signal }),
  });
}
