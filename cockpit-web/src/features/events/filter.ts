// Which frames the event stream shows. Pure.

import type { LogEntry } from "@/live/log";
import { words } from "@/model/words";

export type Group = "incidents" | "reasoning" | "reconciles" | "resources";

export const GROUPS: readonly [Group, string][] = [
  ["incidents", "Incidents"],
  ["reasoning", "Reasoning"],
  ["reconciles", "Reconciles"],
  ["resources", "Resources"],
];

export function groupOf(type: string): Group {
  if (type === "reconcile") return "reconciles";
  if (type === "resource") return "resources";
  return type === "ai.stream" ? "reasoning" : "incidents";
}

export function passes(entry: LogEntry, groups: ReadonlySet<Group>, text: string): boolean {
  if (!entry.frame) return true;
  if (!groups.has(groupOf(entry.frame.type))) return false;
  if (!text) return true;
  const said = words(entry.frame);
  return `${entry.frame.type} ${said.what} ${said.about} ${said.text}`
    .toLowerCase()
    .includes(text.toLowerCase());
}

/** The frames as they came, one a line. */
export function exported(entries: readonly LogEntry[]): string {
  return entries.map((entry) => JSON.stringify(entry.frame ?? { type: "gap", ...entry.gap })).join("\n");
}
