// The sections of the cockpit: where they are, what they are called, which key leads there.

import type { IconName } from "@/ui/icon";

export type Section = { path: string; name: string; icon: IconName; key: string };

export const SECTIONS: readonly Section[] = [
  { path: "/", name: "Overview", icon: "overview", key: "o" },
  { path: "/incidents", name: "Incidents", icon: "incident", key: "i" },
  { path: "/workloads", name: "Workloads", icon: "workload", key: "w" },
  { path: "/topology", name: "Topology", icon: "topology", key: "t" },
  { path: "/detectors", name: "Detectors", icon: "detector", key: "d" },
  { path: "/metrics", name: "Metrics", icon: "metrics", key: "m" },
  { path: "/load-balancers", name: "Load balancer", icon: "balancer", key: "l" },
  { path: "/runbook", name: "Runbook", icon: "runbook", key: "r" },
  { path: "/manifests", name: "Manifests", icon: "manifest", key: "f" },
  { path: "/silences", name: "Silences", icon: "mute", key: "s" },
  { path: "/notifications", name: "Notifications", icon: "bell", key: "n" },
  { path: "/events", name: "Events", icon: "events", key: "e" },
];
