// The newest version of every object that a frame published. A list that was requested before a frame came and answered
// after it would otherwise undo the frame.

import type { AnyObject, Kind, ObjectOf, ResourceFrame } from "@/api/types";

type Published = { revision: number; object: AnyObject | undefined };

export type Objects<K extends Kind> = ReadonlyMap<string, ObjectOf<K>>;

export class Recent {
  readonly #published = new Map<Kind, Map<string, Published>>();

  take(data: ResourceFrame["data"]): void {
    const ofKind = this.#of(data.kind);
    const revision = Number(data.resourceVersion);
    const known = ofKind.get(data.name);
    if (known && known.revision > revision) return;
    const object = data.verb === "DELETED" ? undefined : (data.object as AnyObject);
    ofKind.set(data.name, { revision, object });
  }

  /** These objects, each in the newest version known; what is gone left out. */
  merge<K extends Kind>(kind: K, listed: Iterable<ObjectOf<K>>): Objects<K> {
    const merged = new Map<string, ObjectOf<K>>();
    for (const object of listed) merged.set(object.metadata.name, object);
    for (const [name, published] of this.#of(kind)) {
      const held = merged.get(name);
      if (held && revisionOf(held) > published.revision) continue;
      if (published.object) merged.set(name, published.object as ObjectOf<K>);
      else merged.delete(name);
    }
    return merged;
  }

  /** Another controller, or frames were missed: only what is requested again counts. */
  forget(): void {
    this.#published.clear();
  }

  #of(kind: Kind): Map<string, Published> {
    let ofKind = this.#published.get(kind);
    if (!ofKind) {
      ofKind = new Map();
      this.#published.set(kind, ofKind);
    }
    return ofKind;
  }
}

function revisionOf(object: { metadata: { resourceVersion?: string } }): number {
  return Number(object.metadata.resourceVersion ?? 0);
}
