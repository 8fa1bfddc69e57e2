// The live layer: what frames mean to the query cache, the log, the reasoning and the curves. Everything the pages show
// beside their first read comes through here.

import type { QueryClient } from "@tanstack/react-query";
import type { Kind, ObjectOf } from "@/api/types";
import type { Schedule } from "./batch";
import { Connection, type ConnectionState, type Gap, type Received, type Socket } from "./connection";
import { append, type Series } from "./history";
import { FrameLog, type LogEntry } from "./log";
import { type Reasoning, ReasoningStore } from "./reasoning";
import { type Objects, Recent } from "./recent";

/** Keys of the query cache. */
export const keys = {
  objects: (kind: Kind) => ["objects", kind] as const,
  topology: ["topology"] as const,
  metrics: ["metrics"] as const,
  containers: ["containers"] as const,
  automation: ["automation"] as const,
};

/** What only shows how the host is doing right now is not history. */
const NOT_LOGGED = new Set<string>(["heartbeat", "metrics", "container.list", "topology", "snapshot"]);

export type LiveOptions = {
  queries: QueryClient;
  open: (query: string) => Socket;
  refused?: () => void;
  schedule?: Schedule;
};

export class Live {
  readonly connection: Connection;
  readonly #queries: QueryClient;
  readonly #refused: (() => void) | undefined;
  readonly #recent = new Recent();
  readonly #log = new FrameLog();
  readonly #reasoning = new ReasoningStore();
  readonly #listeners = new Set<() => void>();
  #series: Series = new Map();
  /** When the page began to listen. */
  readonly startedAt = new Date().toISOString();

  constructor({ queries, open, refused, schedule }: LiveOptions) {
    this.#queries = queries;
    this.#refused = refused;
    this.connection = new Connection({
      open,
      refused,
      schedule,
      receive: (frames, gap) => this.#receive(frames, gap),
      changed: () => this.#notify(),
    });
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  get log(): readonly LogEntry[] {
    return this.#log.entries;
  }

  get logged(): number {
    return this.#log.total;
  }

  get series(): Series {
    return this.#series;
  }

  reasoning(incidentId: string): Reasoning | undefined {
    return this.#reasoning.of(incidentId);
  }

  /** A list that was read, brought up to what frames have published since. */
  merge<K extends Kind>(kind: K, listed: Iterable<ObjectOf<K>>): Objects<K> {
    return this.#recent.merge(kind, listed);
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #receive(received: readonly Received[], gap: Gap | undefined): void {
    const changed = new Set<Kind>();
    const logged: Omit<LogEntry, "id">[] = [];
    for (const { frame, size } of received) {
      if (!NOT_LOGGED.has(frame.type)) logged.push({ frame, size });
      this.#apply(frame, changed);
    }
    for (const kind of changed) this.#refresh(kind);
    this.#log.append(logged);
    if (gap) this.#lost(gap);
    this.#notify();
  }

  #apply(frame: Received["frame"], changed: Set<Kind>): void {
    switch (frame.type) {
      case "resource":
        this.#recent.take(frame.data);
        changed.add(frame.data.kind);
        break;
      case "metrics":
        this.#queries.setQueryData(keys.metrics, frame.data);
        this.#series = append(this.#series, Date.parse(frame.timestamp), frame.data);
        break;
      case "topology":
        this.#queries.setQueryData(keys.topology, frame.data);
        break;
      case "container.list":
        this.#queries.setQueryData(keys.containers, frame.data);
        break;
      case "automation":
        this.#queries.setQueryData(keys.automation, frame.data);
        break;
      case "snapshot":
        this.#queries.setQueryData(keys.metrics, frame.data.metrics);
        this.#queries.setQueryData(keys.topology, frame.data.topology);
        this.#queries.setQueryData(keys.containers, frame.data.containers);
        break;
      case "ai.thinking":
        this.#reasoning.begin(frame.data.incident_id);
        break;
      case "ai.stream":
        this.#reasoning.add(frame.data);
        break;
      case "ai.complete":
        this.#reasoning.complete(frame.data.incident_id);
        break;
    }
  }

  #refresh<K extends Kind>(kind: K): void {
    this.#queries.setQueryData<Objects<K>>(keys.objects(kind), (held) =>
      held ? this.#recent.merge(kind, held.values()) : held,
    );
  }

  /** What was read before may be out of date: read it again. */
  #lost(gap: Gap): void {
    this.#recent.forget();
    this.#log.append([{ frame: undefined, gap: { ...gap, at: new Date().toISOString() }, size: 0 }]);
    void this.#queries.invalidateQueries();
    // A controller that was restarted may know us no more.
    this.#refused?.();
  }
}
