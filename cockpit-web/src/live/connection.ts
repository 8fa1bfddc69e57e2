// The one WebSocket: opens it, comes back after a drop with the number of the last frame, and says honestly how it
// stands. Knows frames only by their number. Owns no data.

import type { Frame } from "@/api/types";
import { Batch, nextFrame, type Schedule } from "./batch";

export type ConnectionState =
  | { phase: "connecting"; attempt: number; since: number }
  | { phase: "live"; since: number }
  | { phase: "waiting"; attempt: number; since: number; retryAt: number }
  | { phase: "stopped"; since: number };

export type Received = { frame: Frame; size: number };

/** Frames were lost between two others: what was read before may be out of date. */
export type Gap = { missed: number | undefined; why: string };

/** What the browser's WebSocket offers and this needs. */
export type Socket = Pick<WebSocket, "close" | "send" | "onmessage" | "onclose">;

export type ConnectionOptions = {
  open: (query: string) => Socket;
  receive: (frames: readonly Received[], gap: Gap | undefined) => void;
  changed: (state: ConnectionState) => void;
  /** The server was not reached, or refused: is the session still good? */
  refused?: () => void;
  schedule?: Schedule;
  now?: () => number;
  random?: () => number;
};

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/** After a silence of so long a message is requested of the server. */
const SILENCE_MS = 10_000;
const DEAD_MS = 20_000;
const RESTARTED = "the controller was restarted";

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #now: () => number;
  #socket: Socket | undefined;
  #batch: Batch | undefined;
  #state: ConnectionState;
  #attempt = 0;
  #last: number | undefined;
  /** What the numbers count in: another one in every process of the controller. */
  #stream: string | undefined;
  #heard = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#state = { phase: "stopped", since: this.#now() };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Number of the last frame that was taken. */
  get position(): number | undefined {
    return this.#last;
  }

  start(): void {
    if (this.#state.phase !== "stopped") return;
    this.#watch = setInterval(() => this.#checkPulse(), 2_000);
    this.#connect();
  }

  stop(): void {
    clearInterval(this.#watch);
    clearTimeout(this.#retry);
    this.#drop();
    this.#set({ phase: "stopped", since: this.#now() });
  }

  /** Tries at once instead of waiting: the network is back, or somebody asked. */
  retryNow(): void {
    if (this.#state.phase !== "waiting") return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  #connect(): void {
    const { open, schedule = nextFrame } = this.#options;
    this.#attempt++;
    if (this.#state.phase !== "connecting") {
      this.#set({ phase: "connecting", attempt: this.#attempt, since: this.#now() });
    }
    const since = this.#last === undefined ? "" : `&since=${this.#last}`;
    const socket = open(`full_text=0${since}&stream=${encodeURIComponent(this.#stream ?? "")}`);
    const batch = new Batch({
      schedule,
      now: () => performance.now(),
      take: (texts) => this.#take(socket, texts),
    });
    this.#socket = socket;
    this.#batch = batch;
    this.#heard = this.#now();
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (this.#socket !== socket || typeof data !== "string") return;
      this.#heard = this.#now();
      batch.push(data);
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (this.#state.phase === "connecting") this.#options.refused?.();
      this.#pause();
    };
  }

  #pause(): void {
    const { random = Math.random } = this.#options;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#attempt, 10));
    const pause = longest * (0.5 + random() / 2);
    this.#set({ phase: "waiting", attempt: this.#attempt, since: this.#now(), retryAt: this.#now() + pause });
    this.#retry = setTimeout(() => this.#connect(), pause);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
  }

  #checkPulse(): void {
    const socket = this.#socket;
    if (!socket || (this.#batch?.waiting ?? 0) > 0) return;
    const silent = this.#now() - this.#heard;
    if (silent > DEAD_MS) {
      this.#drop();
      this.#pause();
    } else if (silent > SILENCE_MS && this.#state.phase === "live") {
      socket.send("ping");
    }
  }

  #take(socket: Socket, texts: readonly string[]): void {
    let received: Received[] = [];
    const flush = (gap: Gap | undefined) => {
      if (received.length > 0 || gap) this.#options.receive(received, gap);
      received = [];
    };
    for (const text of texts) {
      if (this.#socket !== socket) return;
      const frame = read(text);
      if (!frame) continue;
      const gap = this.#advance(frame);
      if (gap === "again") {
        flush({ missed: undefined, why: RESTARTED });
        this.#last = 0;
        this.#drop();
        this.#connect();
        return;
      }
      if (gap === "known") continue;
      if (gap) flush(gap);
      received.push({ frame, size: text.length });
    }
    flush(undefined);
  }

  /** Where a frame stands in the order: a gap before it, `known` already, or of another process (`again`). */
  #advance(frame: Frame): Gap | "again" | "known" | undefined {
    const last = this.#last;
    if (frame.type === "heartbeat" || frame.type === "snapshot" || frame.type === "lagged") {
      if (frame.type === "heartbeat" && frame.data.status !== "connected") return undefined;
      if (frame.type === "heartbeat") {
        this.#connected();
        const { stream } = frame.data;
        const other = stream !== undefined && this.#stream !== undefined && stream !== this.#stream;
        if (stream !== undefined) this.#stream = stream;
        if (other) {
          // It sends everything of this stream from here on: numbers of the other one say nothing about it.
          this.#last = frame.seq;
          return { missed: undefined, why: RESTARTED };
        }
      }
      this.#last = frame.seq;
      if (last === undefined || frame.seq === last) return undefined;
      if (frame.seq < last) return "again";
      return { missed: frame.seq - last, why: "they came faster than they could be sent" };
    }
    if (last !== undefined && frame.seq <= last) return "known";
    // A number that is left out was that of metrics, containers or a topology that newer ones have replaced: what is
    // lost is reported as `lagged`.
    this.#last = frame.seq;
    return undefined;
  }

  #connected(): void {
    this.#attempt = 0;
    this.#set({ phase: "live", since: this.#now() });
  }

  #set(state: ConnectionState): void {
    this.#state = state;
    this.#options.changed(state);
  }
}

function read(text: string): Frame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const looksRight =
      typeof value === "object" &&
      value !== null &&
      "type" in value &&
      "seq" in value &&
      typeof value.seq === "number";
    return looksRight ? (value as Frame) : undefined;
  } catch {
    return undefined;
  }
}
