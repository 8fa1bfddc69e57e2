// The frames in the order they came, bounded by number and by size: the newest are kept. Readers get a new array when
// something changed.

import type { Frame } from "@/api/types";

export type LogEntry = {
  /** Unique among entries; rises. */
  id: number;
  frame: Frame | undefined;
  /** How many frames are missing here, where that is so; `undefined` as a value: it is not known. */
  gap?: { missed: number | undefined; at: string; why: string };
  size: number;
};

const MOST_ENTRIES = 5_000;
const MOST_CHARACTERS = 24_000_000;

export class FrameLog {
  #entries: readonly LogEntry[] = [];
  #characters = 0;
  #next = 1;

  get entries(): readonly LogEntry[] {
    return this.#entries;
  }

  /** How many there were, also those that are no longer kept. */
  get total(): number {
    return this.#next - 1;
  }

  append(added: readonly Omit<LogEntry, "id">[]): void {
    if (added.length === 0) return;
    const entries = this.#entries.concat(added.map((entry) => ({ ...entry, id: this.#next++ })));
    for (const entry of added) this.#characters += entry.size;
    let drop = Math.max(0, entries.length - MOST_ENTRIES);
    for (const entry of entries.slice(0, drop)) this.#characters -= entry.size;
    while (this.#characters > MOST_CHARACTERS && drop < entries.length - 1) {
      this.#characters -= entries[drop]?.size ?? 0;
      drop++;
    }
    this.#entries = drop > 0 ? entries.slice(drop) : entries;
  }
}
