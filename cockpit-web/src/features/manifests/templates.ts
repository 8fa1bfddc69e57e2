// What a new manifest begins with, one a kind.

import type { Kind } from "@/api/types";

const head = (kind: Kind, name: string) =>
  `apiVersion: aegisops.io/v1alpha1\nkind: ${kind}\nmetadata:\n  name: ${name}\n`;

export const TEMPLATES: Record<Kind, string> = {
  Workload: `${head("Workload", "my-app")}spec:
  # A container that runs already; it and its replicas are looked after.
  container: my-app
  replicas: 2
  health:
    http:
      path: /health
      port: 8000
`,
  LoadBalancer: `${head("LoadBalancer", "my-lb")}spec:
  # The nginx container whose configuration is written.
  container: my-lb
  backends:
    - workload: my-app
      port: 8000
      upstream: my_app
`,
  RemediationPolicy: `${head("RemediationPolicy", "careful")}spec:
  workloads:
    names: [my-app]
  # Auto, Approve, DryRun or Off
  mode: Approve
  actionsPerHour: 6
`,
  Detector: `${head("Detector", "memory-high")}spec:
  alertType: memory_pressure
  severity: warning
  for: 10s
`,
  RunbookEntry: `${head("RunbookEntry", "leak-restart")}spec:
  incidentId: by-hand
  alertType: memory_leak
  rootCause: The cache is never emptied.
  action: RESTART
  justification: A restart empties it.
  confidence: 0.8
`,
  AlertSource: `${head("AlertSource", "zabbix")}spec:
  # Alerts come in at /webhook/zabbix.
  format: Mapped
  mapping:
    alertType: [$.trigger]
    container: [$.host]
    status: [$.value]
    resolved: [OK]
`,
  Silence: `${head("Silence", "new-disks")}spec:
  workloads:
    names: [my-app]
  owner: ada
  reason: The disks are replaced.
  until: ${new Date(Date.now() + 7_200_000).toISOString().slice(0, 19)}Z
`,
  Incident: `${head("Incident", "by-hand")}spec:
  workloadRef: my-app
  alertType: manual
  severity: warning
`,
};
