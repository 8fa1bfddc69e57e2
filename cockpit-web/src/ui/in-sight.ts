// What is in sight, or soon will be: the rest need be neither requested nor drawn.

import { type RefObject, useEffect, useState } from "react";

/** How far below and above the screen counts. */
const MARGIN = "300px";

export function useInSight(place: RefObject<HTMLElement | null>): { now: boolean; ever: boolean } {
  const [sight, setSight] = useState({ now: false, ever: false });
  useEffect(() => {
    if (!place.current || !("IntersectionObserver" in globalThis)) return;
    const watcher = new IntersectionObserver(
      (entries) => {
        const now = entries.at(-1)?.isIntersecting ?? false;
        setSight((before) => ({ now, ever: before.ever || now }));
      },
      { rootMargin: MARGIN },
    );
    watcher.observe(place.current);
    return () => watcher.disconnect();
  }, [place]);
  return sight;
}
