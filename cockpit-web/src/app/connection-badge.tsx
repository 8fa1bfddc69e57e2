// How the live connection stands, honestly: what is shown may be old, and since when.

import { useConnection, useLive } from "@/live/hooks";
import { useNow } from "@/ui/clock";
import { Icon } from "@/ui/icon";
import { exact, relative } from "@/ui/time";

export function ConnectionBadge() {
  const state = useConnection();
  const live = useLive();
  const now = useNow();
  if (state.phase === "live") {
    return (
      <span
        role="status"
        title={`Connected since ${exact(new Date(state.since).toISOString())}`}
        className="inline-flex items-center gap-1.5 font-medium text-ok text-xs"
      >
        <span className="relative flex size-2">
          <span className="absolute inline-flex size-full animate-pulse-slow rounded-full bg-current opacity-60" />
          <span className="relative inline-flex size-2 rounded-full bg-current" />
        </span>
        Live
      </span>
    );
  }
  const waiting = state.phase === "waiting";
  const word = state.phase === "connecting" && state.attempt <= 1 ? "Connecting" : "Reconnecting";
  return (
    <span role="status" className="inline-flex items-center gap-1.5 font-medium text-warn text-xs">
      <Icon name={waiting ? "warn" : "spin"} className={`size-3.5 ${waiting ? "" : "animate-spin"}`} />
      {word}
      {waiting && (
        <button
          type="button"
          onClick={() => live.connection.retryNow()}
          className="rounded px-1 text-soft underline underline-offset-2"
        >
          now
        </button>
      )}
      <span className="sr-only">, last heard {relative(new Date(state.since).toISOString(), now)}</span>
    </span>
  );
}

/** Across the page while what it shows may be out of date. */
export function StaleBanner() {
  const state = useConnection();
  const now = useNow();
  const stale = state.phase === "waiting" || (state.phase === "connecting" && state.attempt > 1);
  if (!stale || state.attempt < 2) return null;
  const seconds = state.phase === "waiting" ? Math.max(0, Math.ceil((state.retryAt - now) / 1000)) : 0;
  return (
    <div
      role="alert"
      className="flex flex-wrap items-center gap-x-2 bg-warn-tint px-4 py-1.5 text-sm text-warn"
    >
      <Icon name="warn" className="size-4" />
      The controller does not answer. What you see may be out of date; nothing is lost, it is fetched when it
      is back.
      <span className="text-xs">{seconds > 0 ? `Trying again in ${seconds} s.` : "Trying now."}</span>
    </div>
  );
}
