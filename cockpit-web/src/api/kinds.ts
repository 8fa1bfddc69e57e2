// The kinds: where their objects live, and how they are read and changed.

import { request } from "./request";
import type { Kind, ObjectOf } from "./types";

export const PLURALS: Record<Kind, string> = {
  Workload: "workloads",
  LoadBalancer: "loadbalancers",
  Incident: "incidents",
  RemediationPolicy: "remediationpolicies",
  Detector: "detectors",
  RunbookEntry: "runbookentries",
  AlertSource: "alertsources",
  Silence: "silences",
};

export const KINDS = Object.keys(PLURALS) as Kind[];

export function isKind(text: string): text is Kind {
  return text in PLURALS;
}

function collection(kind: Kind): string {
  return `/apis/aegisops.io/v1alpha1/namespaces/default/${PLURALS[kind]}`;
}

function path(kind: Kind, name: string, dryRun = false): string {
  const query = dryRun ? "?dryRun=All" : "";
  return `${collection(kind)}/${encodeURIComponent(name)}${query}`;
}

export async function list<K extends Kind>(kind: K, signal?: AbortSignal): Promise<ObjectOf<K>[]> {
  const answer = await request<{ items: ObjectOf<K>[] }>(collection(kind), { signal });
  return answer.items;
}

type Writing = { dryRun?: boolean };

/** A merge patch: the fields that change and nothing else. */
export function patch<K extends Kind>(
  kind: K,
  name: string,
  change: object,
  { dryRun = false }: Writing = {},
) {
  const options = { method: "PATCH", body: change, contentType: "application/merge-patch+json" } as const;
  return request<ObjectOf<K>>(path(kind, name, dryRun), options);
}

export type Operation = { op: "test" | "replace" | "add"; path: string; value: unknown };

export function jsonPatch<K extends Kind>(
  kind: K,
  name: string,
  change: readonly Operation[],
  { dryRun = false }: Writing = {},
) {
  const options = { method: "PATCH", body: change, contentType: "application/json-patch+json" } as const;
  return request<ObjectOf<K>>(path(kind, name, dryRun), options);
}

export function replace<K extends Kind>(
  kind: K,
  name: string,
  object: unknown,
  { dryRun = false }: Writing = {},
) {
  return request<ObjectOf<K>>(path(kind, name, dryRun), { method: "PUT", body: object });
}

export function create<K extends Kind>(kind: K, object: unknown, { dryRun = false }: Writing = {}) {
  const query = dryRun ? "?dryRun=All" : "";
  return request<ObjectOf<K>>(`${collection(kind)}${query}`, { method: "POST", body: object });
}

export function remove(kind: Kind, name: string) {
  return request<unknown>(path(kind, name), { method: "DELETE" });
}
