// Names for the generated types. Nothing is described here: the OpenAPI document does that.

import type { components, paths } from "./schema";

type Schemas = components["schemas"];

export type Kind =
  | "Workload"
  | "LoadBalancer"
  | "Incident"
  | "RemediationPolicy"
  | "Detector"
  | "RunbookEntry"
  | "AlertSource"
  | "Silence";

type Meta = Schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"];

/** An object as the server answers it: it always has a name. */
export type ObjectOf<K extends Kind> = Omit<Schemas[`io.aegisops.v1alpha1.${K}`], "metadata"> & {
  metadata: Meta & { name: string };
};

export type AnyObject = { [K in Kind]: ObjectOf<K> }[Kind];

type Present<T> = NonNullable<T>;

export type Workload = ObjectOf<"Workload">;
export type WorkloadStatus = Present<Workload["status"]>;
export type Instance = Present<WorkloadStatus["instances"]>[number];
export type Revision = Present<WorkloadStatus["revisions"]>[number];
export type LoadBalancer = ObjectOf<"LoadBalancer">;
export type LoadBalancerStatus = Present<LoadBalancer["status"]>;
export type Incident = ObjectOf<"Incident">;
export type Silence = ObjectOf<"Silence">;
export type IncidentStatus = Present<Incident["status"]>;
export type Phase = Schemas["Phase"];
export type Stage = Schemas["Stage"];
export type Action = Schemas["Action"];
export type Vote = Present<IncidentStatus["votes"]>[number];
export type Plan = Present<IncidentStatus["plan"]>;
export type Evidence = Present<IncidentStatus["evidence"]>;
export type ContainerEvidence = Present<Evidence["containers"]>[number];
export type Verification = Present<IncidentStatus["verification"]>;
export type Detector = ObjectOf<"Detector">;
export type DetectorWorkload = Present<Present<Detector["status"]>["workloads"]>[number];
export type Signal = Present<Detector["spec"]["signal"]>;
export type RunbookEntry = ObjectOf<"RunbookEntry">;
export type Condition = Present<WorkloadStatus["conditions"]>[number];
export type ConditionType = Schemas["ConditionType"];
export type Reason = Schemas["Reason"];
export type ContainerState = Schemas["ContainerState"];

export type Session = Schemas["SessionView"];
export type Role = Schemas["Role"];
export type ContainerMetrics = Schemas["ContainerMetrics"];
export type ContainerRow = Schemas["ContainerRow"];
export type BalancerMetrics = Schemas["BalancerMetrics"];
export type WorkloadRequests = Schemas["WorkloadRequests"];
export type RequestRates = Schemas["RequestRates"];
export type HostMetrics = Schemas["HostMetrics"];
export type FileSystemUse = Schemas["FileSystemUse"];
export type Topology = Schemas["Topology"];
export type TopologyNode = Schemas["Node"];
export type RagAnswer = Schemas["RagAnswer"];
export type Frame = Schemas["Frame"];
export type FrameType = Frame["type"];
export type FrameOf<T extends FrameType> = Extract<Frame, { type: T }>;
export type ResourceFrame = FrameOf<"resource">;
export type KubeEvent = Schemas["Event"];
export type AutomationView = Schemas["AutomationView"];
export type Pause = Schemas["Pause"];
export type PauseWanted = Schemas["PauseWanted"];
export type NotificationList = Schemas["NotificationList"];
export type NotificationTests = Schemas["NotificationTests"];
export type WorkloadPlan = Schemas["WorkloadPlan"];
export type Failure = Schemas["Status"];

/** What a GET of this path answers. */
export type Answer<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;
