// Back-pressure: messages wait in a queue and are worked off once a frame of the screen, for as long as the screen can
// spare. What a batch means is decided by its receiver. Owns no clock: both are given.

export type Schedule = (work: () => void) => void;

type Options = {
  /** Runs work before the next frame of the screen. */
  schedule: Schedule;
  now: () => number;
  /** Milliseconds that one batch may take to read. */
  budget?: number;
  take: (messages: readonly string[]) => void;
};

const SLICE = 64;

export class Batch {
  readonly #options: Options;
  #queue: string[] = [];
  #scheduled = false;

  constructor(options: Options) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  push(message: string): void {
    this.#queue.push(message);
    this.#wake();
  }

  #wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.schedule(() => {
      this.#scheduled = false;
      this.#work();
    });
  }

  #work(): void {
    const { now, take, budget = 8 } = this.#options;
    const start = now();
    let done = 0;
    do {
      take(this.#queue.slice(done, done + SLICE));
      done += SLICE;
    } while (done < this.#queue.length && now() - start < budget);
    this.#queue = this.#queue.slice(done);
    if (this.#queue.length > 0) this.#wake();
  }
}

/** Before the next frame of the screen; a page in the background has none, so there a timer. */
export function nextFrame(work: () => void): void {
  if (document.hidden) setTimeout(work, 250);
  else requestAnimationFrame(work);
}
