// Providers and routes. Every page but the first is loaded when it is opened.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { BrowserRouter, Navigate, Outlet, Route, Routes, useLocation } from "react-router";
import { ApiError } from "@/api/request";
import { SessionGiver } from "@/api/role";
import { Overview } from "@/features/overview/overview";
import { LiveProvider } from "@/live/hooks";
import { Empty } from "@/ui/empty";
import { Landing, Login } from "./landing";
import { loadPage } from "./load-page";
import { SessionProvider, useSessionState } from "./session-context";
import { Shell } from "./shell";

const Incidents = loadPage(() => import("@/features/incidents/incidents"));
const IncidentPage = loadPage(() => import("@/features/incidents/incident-page"));
const Workloads = loadPage(() => import("@/features/workloads/workloads"));
const WorkloadPage = loadPage(() => import("@/features/workloads/workload-page"));
const TopologyPage = loadPage(() => import("@/features/topology/topology-page"));
const Detectors = loadPage(() => import("@/features/detectors/detectors"));
const DetectorPage = loadPage(() => import("@/features/detectors/detector-page"));
const MetricsPage = loadPage(() => import("@/features/metrics/metrics-page"));
const LoadBalancers = loadPage(() => import("@/features/load-balancer/load-balancers"));
const RunbookPage = loadPage(() => import("@/features/runbook/runbook-page"));
const ManifestsPage = loadPage(() => import("@/features/manifests/manifests-page"));
const NotificationsPage = loadPage(() => import("@/features/notifications/notifications-page"));
const SilencesPage = loadPage(() => import("@/features/silences/silences-page"));
const EventsPage = loadPage(() => import("@/features/events/events-page"));

export function makeQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // Frames keep the cache up to date; a timer would only ask again what is known.
        staleTime: Number.POSITIVE_INFINITY,
        refetchOnWindowFocus: false,
        retry: (count, error) =>
          count < 3 && !(error instanceof ApiError && error.code >= 400 && error.code < 500),
      },
    },
  });
}

export function App() {
  const [queries] = useState(makeQueries);
  return (
    <QueryClientProvider client={queries}>
      <BrowserRouter>
        <SessionProvider>
          <Pages />
        </SessionProvider>
      </BrowserRouter>
    </QueryClientProvider>
  );
}

function Pages() {
  return (
    <Routes>
      <Route path="/login" element={<Login />} />
      <Route element={<Guarded />}>
        <Route element={<Shell />}>
          <Route index element={<Overview />} />
          <Route path="incidents" element={<Incidents />} />
          <Route path="incidents/:name" element={<IncidentPage />} />
          <Route path="workloads" element={<Workloads />} />
          <Route path="workloads/:name" element={<WorkloadPage />} />
          <Route path="topology" element={<TopologyPage />} />
          <Route path="detectors" element={<Detectors />} />
          <Route path="detectors/:name" element={<DetectorPage />} />
          <Route path="metrics" element={<MetricsPage />} />
          <Route path="load-balancers" element={<LoadBalancers />} />
          <Route path="load-balancers/:name" element={<LoadBalancers />} />
          <Route path="runbook" element={<RunbookPage />} />
          <Route path="manifests" element={<ManifestsPage />} />
          <Route path="manifests/:kind/:name" element={<ManifestsPage />} />
          <Route path="silences" element={<SilencesPage />} />
          <Route path="notifications" element={<NotificationsPage />} />
          <Route path="events" element={<EventsPage />} />
          <Route
            path="*"
            element={
              <Empty icon="warn" title="There is no such page">
                Choose a section, or press ? for the keys.
              </Empty>
            }
          />
        </Route>
      </Route>
    </Routes>
  );
}

/** Lets those in who are logged in; others see the landing page, or the login if they requested a page. */
function Guarded() {
  const { state, check } = useSessionState();
  const { pathname, search } = useLocation();
  if (state.phase === "in") {
    return (
      <SessionGiver value={state.session}>
        <LiveProvider refused={check}>
          <Outlet />
        </LiveProvider>
      </SessionGiver>
    );
  }
  if (state.phase === "asking") return <Quiet />;
  if (pathname === "/" || state.phase === "unreachable") return <Landing />;
  return <Navigate to={`/login?next=${encodeURIComponent(pathname + search)}`} replace />;
}

function Quiet(): ReactNode {
  return (
    <p role="status" className="sr-only">
      Asking who you are
    </p>
  );
}
