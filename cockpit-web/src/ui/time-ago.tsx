import { useNow } from "./clock";
import { exact, relative } from "./time";

/** A relative time; the exact one on hover. */
export function TimeAgo({ at, className = "" }: { at: string | null | undefined; className?: string }) {
  const now = useNow();
  if (!at) return <span className={`text-faint ${className}`}>never</span>;
  return (
    <time dateTime={at} title={exact(at)} className={`whitespace-nowrap ${className}`}>
      {relative(at, Math.max(now, Date.now() - 1000))}
    </time>
  );
}
