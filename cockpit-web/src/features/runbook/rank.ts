// The entries in the order in which they are shown. Pure.

import type { RagAnswer, RunbookEntry } from "@/api/types";

export type Ranked = { entry: RunbookEntry; score: number | undefined };

/** Without a question the most trusted first; with one those that retrieval finds similar, then those that contain it. */
export function rank(
  entries: Iterable<RunbookEntry>,
  asked: string,
  answer: RagAnswer | undefined,
): Ranked[] {
  const trust = (entry: RunbookEntry) => entry.status?.trust ?? 0;
  const all = [...entries].sort(
    (a, b) => trust(b) - trust(a) || a.metadata.name.localeCompare(b.metadata.name),
  );
  if (!asked) return all.map((entry) => ({ entry, score: undefined }));
  // What an incident would be given; a controller of before has one list only.
  const rows = answer?.operations ?? answer?.retrieved;
  const scores = new Map(rows?.map((row) => [row.incident_id, row.similarity_score]));
  const wanted = asked.toLowerCase();
  const contains = ({ spec }: RunbookEntry) =>
    [spec.alertType, spec.rootCause, spec.justification, spec.incidentId, spec.action].some((text) =>
      text?.toLowerCase().includes(wanted),
    );
  const found = all.map((entry) => ({ entry, score: scores.get(entry.spec.incidentId) }));
  return found
    .filter(({ entry, score }) => score !== undefined || contains(entry))
    .sort((a, b) => (b.score ?? -1) - (a.score ?? -1));
}
