// Small ways to show data: name and value, code, numbers.

import type { ReactNode } from "react";

export function Facts({ children, columns = 2 }: { children: ReactNode; columns?: 1 | 2 | 3 }) {
  const grid = { 1: "", 2: "sm:grid-cols-2", 3: "sm:grid-cols-2 xl:grid-cols-3" }[columns];
  return <dl className={`grid grid-cols-1 gap-x-6 gap-y-2.5 ${grid}`}>{children}</dl>;
}

export function Fact({
  name,
  children,
  wide = false,
}: {
  name: string;
  children: ReactNode;
  wide?: boolean;
}) {
  return (
    <div className={`min-w-0 ${wide ? "col-span-full" : ""}`}>
      <dt className="text-faint text-xs">{name}</dt>
      <dd className="min-w-0 break-words text-sm">{children}</dd>
    </div>
  );
}

export function Mono({
  children,
  className = "",
  title,
}: {
  children: ReactNode;
  className?: string;
  title?: string;
}) {
  return (
    <span title={title} className={`wrap-anywhere font-mono text-[0.93em] ${className}`}>
      {children}
    </span>
  );
}

/** Text as it is, in a scrolling box that the keyboard reaches. */
export function CodeBlock({
  label,
  text,
  className = "max-h-72",
}: {
  label: string;
  text: string;
  className?: string;
}) {
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
      tabIndex={0}
      className={`scroll-thin overflow-auto rounded-md border bg-sunken ${className}`}
    >
      <pre className="p-3 font-mono text-xs leading-5">{text}</pre>
    </section>
  );
}

export function Stat({
  label,
  value,
  note,
  tone = "",
}: {
  label: string;
  value: ReactNode;
  note?: ReactNode;
  tone?: string;
}) {
  return (
    <div className="min-w-0 rounded-lg border bg-panel px-4 py-3">
      <p className="text-faint text-xs">{label}</p>
      <p className={`mt-0.5 truncate font-semibold text-2xl tracking-tight ${tone}`}>{value}</p>
      {note && <p className="truncate text-faint text-xs">{note}</p>}
    </div>
  );
}
