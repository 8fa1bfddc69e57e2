// What a pause means to a reader: who it is from, whether it still holds, how long it is to last. Pure.

import type { Pause } from "@/api/types";

/** The pause, while it is in force at this moment. */
export function inForce(pause: Pause | null | undefined, now: number): Pause | undefined {
  const end = pause?.until ? Date.parse(pause.until) : Number.NaN;
  // An end that is no time ends nothing.
  return end <= now ? undefined : (pause ?? undefined);
}

/** "paused by ada", or that automation did it. */
export function pausedBy(pause: Pause): string {
  if (pause.by?.startsWith("system:")) return "paused itself";
  return pause.by ? `is paused by ${pause.by}` : "is paused";
}

export type Span = { words: string; seconds?: number };

/** How long a requested pause can be. */
export const SPANS: readonly Span[] = [
  { words: "until somebody resumes" },
  { words: "15 minutes", seconds: 900 },
  { words: "1 hour", seconds: 3_600 },
  { words: "4 hours", seconds: 14_400 },
  { words: "1 day", seconds: 86_400 },
];

/** What the server takes. */
export const LONGEST_REASON = 256;
