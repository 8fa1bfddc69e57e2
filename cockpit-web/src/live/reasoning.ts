// The analyst's words per incident, as they come. Bounded: an incident's text and the number of incidents.

import type { FrameOf } from "@/api/types";

export type Reasoning = {
  text: string;
  /** The beginning was streamed before this page listened. */
  partial: boolean;
  /** A provider that failed on the way; the text is of the one after it. */
  restarted: string | undefined;
  done: boolean;
};

const MOST_INCIDENTS = 200;
const MOST_CHARACTERS = 32_000;

export class ReasoningStore {
  readonly #texts = new Map<string, Reasoning>();
  readonly #begun = new Set<string>();

  of(incidentId: string): Reasoning | undefined {
    return this.#texts.get(incidentId);
  }

  /** The analysis begins: what follows is whole. */
  begin(incidentId: string): void {
    this.#begun.add(incidentId);
    this.#set(incidentId, { text: "", partial: false, restarted: undefined, done: false });
  }

  add({ incident_id, chunk, restart }: FrameOf<"ai.stream">["data"]): void {
    const known = this.#texts.get(incident_id);
    if (restart) {
      const restarted = `${restart.provider}: ${restart.reason}`;
      this.#set(incident_id, { text: chunk, partial: false, restarted, done: false });
      return;
    }
    const partial = known ? known.partial : !this.#begun.has(incident_id);
    const text = ((known?.text ?? "") + chunk).slice(-MOST_CHARACTERS);
    this.#set(incident_id, { text, partial, restarted: known?.restarted, done: false });
  }

  complete(incidentId: string): void {
    const known = this.#texts.get(incidentId);
    if (known) this.#texts.set(incidentId, { ...known, done: true });
  }

  #set(incidentId: string, reasoning: Reasoning): void {
    this.#texts.delete(incidentId);
    this.#texts.set(incidentId, reasoning);
    for (const oldest of this.#texts.keys()) {
      if (this.#texts.size <= MOST_INCIDENTS) break;
      this.#texts.delete(oldest);
      this.#begun.delete(oldest);
    }
  }
}
