type Props = { name: string; percent: number; words: string; alarm?: number; className?: string };

/** A bar with its value in words; past `alarm` it says so. */
export function Meter({ name, percent, words, alarm, className = "" }: Props) {
  const high = alarm !== undefined && percent >= alarm;
  return (
    <span className={`min-w-0 ${className}`}>
      <span className={`block text-xs ${high ? "font-medium text-bad" : "text-soft"}`}>
        {words}
        {high && ", high"}
      </span>
      <span
        role="meter"
        aria-label={name}
        aria-valuenow={Math.round(percent)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuetext={words}
        className="mt-0.5 block h-1 overflow-hidden rounded-full bg-line"
      >
        <span
          className={`block h-full rounded-full ${high ? "bg-bad" : "bg-accent"}`}
          style={{ width: `${Math.min(100, Math.max(0, percent))}%` }}
        />
      </span>
    </span>
  );
}
