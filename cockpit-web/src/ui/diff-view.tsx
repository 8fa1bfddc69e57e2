import { type DiffLine, diffLines, hunks } from "./diff";

const LOOKS = {
  same: ["text-faint", " ", "unchanged"],
  added: ["bg-ok-tint text-ok", "+", "added"],
  removed: ["bg-bad-tint text-bad", "−", "removed"],
} as const;

/** What differs between two texts. */
export function DiffView({ label, before, after }: { label: string; before: string; after: string }) {
  const shown = hunks(diffLines(before, after));
  if (shown.every((line) => line === null)) {
    return <p className="text-faint text-sm">No difference.</p>;
  }
  return (
    <section
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
      tabIndex={0}
      className="scroll-thin max-h-96 overflow-auto rounded-md border bg-sunken font-mono text-xs leading-5"
    >
      <div className="w-max min-w-full py-1">
        {shown.map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other identity, and are never reordered
          <Line key={index} line={line} />
        ))}
      </div>
    </section>
  );
}

function Line({ line }: { line: DiffLine | null }) {
  if (!line) return <div className="px-3 text-faint">⋯</div>;
  const [look, sign, word] = LOOKS[line.kind];
  return (
    <div className={`whitespace-pre px-3 ${look}`}>
      <span aria-hidden="true" className="mr-2 inline-block w-2 select-none">
        {sign}
      </span>
      {line.kind !== "same" && <span className="sr-only">{word}: </span>}
      {line.text}
    </div>
  );
}
