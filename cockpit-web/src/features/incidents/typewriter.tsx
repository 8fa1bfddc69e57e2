// Text that grows is shown as if it were written: never slower than a second and a half behind, at once for those who
// want no motion, and never for text that was there already.

import { useEffect, useRef, useState } from "react";

const CATCH_UP_MS = 1500;

function wantsNoMotion(): boolean {
  return typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** How many characters are to be seen after `elapsed` ms more. Pure. */
export function advance(shown: number, length: number, elapsed: number): number {
  const left = length - shown;
  if (left <= 0) return length;
  const step = Math.max(1, Math.ceil((Math.max(left, 60) * elapsed) / CATCH_UP_MS));
  return Math.min(length, shown + step);
}

export function Typewriter({ text, live }: { text: string; live: boolean }) {
  const [shown, setShown] = useState(live && !wantsNoMotion() ? 0 : text.length);
  const goal = useRef(text.length);
  goal.current = text.length;
  const behind = shown < text.length;
  useEffect(() => {
    if (!behind) return;
    if (!live || wantsNoMotion()) {
      setShown(goal.current);
      return;
    }
    let last = performance.now();
    let frame = requestAnimationFrame(function write(now) {
      const elapsed = now - last;
      last = now;
      setShown((before) => advance(before, goal.current, elapsed));
      frame = requestAnimationFrame(write);
    });
    return () => cancelAnimationFrame(frame);
  }, [behind, live]);
  return (
    <>
      <p aria-hidden="true" className="whitespace-pre-wrap break-words">
        {text.slice(0, shown)}
        {behind && <span className="animate-blink text-accent">▍</span>}
      </p>
      <p className="sr-only">{text}</p>
    </>
  );
}
