// How much time the charts of a page show. The range is in the URL; the part that was chosen of it, in the page.

import { useCallback, useMemo, useState } from "react";
import { Action } from "./action";
import { useAddress } from "./address";
import { useNow } from "./clock";
import { moment, type Window } from "./time-series";

const RANGES = [
  { minutes: 15, name: "15 min", word: "15m" },
  { minutes: 60, name: "1 h", word: "1h" },
  { minutes: 360, name: "6 h", word: "6h" },
  { minutes: 1440, name: "24 h", word: "24h" },
] as const;

/** Moves of the right edge in a range: no chart is drawn again for less than it would show. */
const MOVES = 300;

export type TimeRange = {
  minutes: number;
  /** What the charts show: the part that was chosen, or all of it up to now. */
  window: Window;
  zoomed: boolean;
  zoom: (window: Window | undefined) => void;
  choose: (word: string) => void;
};

export function useTimeRange(): TimeRange {
  const [search, set] = useAddress();
  const [zoomed, setZoomed] = useState<Window>();
  const { minutes } = RANGES.find(({ word }) => word === search.get("range")) ?? RANGES[0];
  const span = minutes * 60_000;
  const to = endOf(useNow(), span);
  const zoom = useCallback((window: Window | undefined) => {
    // What is shorter is a click with an unsteady hand.
    if (!window || window.to - window.from > 5000) setZoomed(window);
  }, []);
  const choose = useCallback(
    (word: string) => {
      setZoomed(undefined);
      set("range", word === RANGES[0].word ? "" : word);
    },
    [set],
  );
  const window = useMemo(() => zoomed ?? { from: to - span, to }, [zoomed, to, span]);
  // The clock ticks more often than the window moves.
  return useMemo(
    () => ({ minutes, window, zoomed: zoomed !== undefined, zoom, choose }),
    [minutes, window, zoomed, zoom, choose],
  );
}

/** The right edge: now, at the end of a step of the range; as often as the samples come, at most. */
export function endOf(now: number, span: number): number {
  const step = Math.max(3000, span / MOVES);
  return Math.ceil(now / step) * step;
}

export function RangeBar({ range }: { range: TimeRange }) {
  const { minutes, window, zoomed, zoom, choose } = range;
  return (
    <div className="flex flex-wrap items-center gap-2">
      {zoomed && (
        <Action icon="back" onClick={() => zoom(undefined)}>
          Reset zoom ({moment(window.from, window)} – {moment(window.to, window)})
        </Action>
      )}
      <div role="group" aria-label="Time range" className="flex rounded-md border bg-panel p-0.5">
        {RANGES.map(({ minutes: one, name, word }) => (
          <button
            key={word}
            type="button"
            aria-pressed={minutes === one}
            onClick={() => choose(word)}
            className="h-7 whitespace-nowrap rounded px-2.5 text-faint text-sm hover:text-ink aria-pressed:bg-accent-tint aria-pressed:font-medium aria-pressed:text-accent"
          >
            {name}
          </button>
        ))}
      </div>
    </div>
  );
}
