// What a chart over time needs before it is drawn: gaps, rates, columns for uPlot, a summary in words, and marks that do
// not cover each other. Pure.

/** A value at a moment, in milliseconds since the epoch; null: nothing was measured, and the line breaks. */
export type Point = { at: number; value: number | null };
export type Measured = { at: number; value: number };
export type Window = { from: number; to: number };

/** Something that happened, or lasted. */
export type Mark = {
  at: number;
  until?: number;
  name: string;
  kind: "incident" | "change";
  /** Where there is more about it. */
  to?: string;
};

/** The same points, with a null between two that are further apart than `longest`: nothing was measured between them. */
export function broken<P extends Point>(points: readonly P[], longest: (a: P, b: P) => number): Point[] {
  const out: Point[] = [];
  let before: P | undefined;
  for (const point of points) {
    if (before && point.at - before.at > longest(before, point)) out.push({ at: before.at + 1, value: null });
    out.push({ at: point.at, value: point.value });
    before = point;
  }
  return out;
}

/** Growth a second of a counter; where it fell it was reset. */
export function rates(points: readonly Measured[]): Measured[] {
  const out: Measured[] = [];
  for (let index = 1; index < points.length; index++) {
    const [a, b] = [points[index - 1], points[index]];
    if (!a || !b || b.at <= a.at) continue;
    const grown = b.value - a.value;
    out.push({ at: b.at, value: grown < 0 ? 0 : (grown / (b.at - a.at)) * 1000 });
  }
  return out;
}

/** Where the axis ends: above all values and lines, so that neither touches the edge. */
export function top(values: readonly number[], lines: readonly number[], least: number): number {
  const highest = Math.max(
    least,
    ...values.map((value) => value * 1.05),
    ...lines.map((value) => value * 1.1),
  );
  return highest > 0 ? highest : 1;
}

/** Those in the window, and one on either side, so that the line reaches the edges. */
export function seen(points: readonly Point[], { from, to }: Window): readonly Point[] {
  let first = points.findIndex((point) => point.at >= from);
  if (first === -1) first = points.length;
  let end = points.findIndex((point) => point.at > to);
  if (end === -1) end = points.length;
  return points.slice(Math.max(0, first - 1), end + 1);
}

/** A column of seconds and one of values a curve, as uPlot reads them: undefined is no point of that curve, null a gap. */
export function columns(
  curves: readonly (readonly Point[])[],
): [number[], ...(number | null | undefined)[][]] {
  const times = [...new Set(curves.flatMap((points) => points.map(({ at }) => at)))].sort((a, b) => a - b);
  const values = curves.map((points) => {
    const known = new Map(points.map(({ at, value }) => [at, value]));
    return times.map((at) => known.get(at));
  });
  return [times.map((at) => at / 1000), ...values];
}

export type Summary = { last: number; min: number; max: number; gaps: number };

/** What was measured in the window; undefined where nothing was. */
export function summary(points: readonly Point[], { from, to }: Window): Summary | undefined {
  let found: Summary | undefined;
  let gap = false;
  for (const { at, value } of points) {
    if (at < from || at > to) continue;
    if (value === null) {
      gap = found !== undefined;
      continue;
    }
    found ??= { last: value, min: value, max: value, gaps: 0 };
    if (gap) found.gaps++;
    gap = false;
    found.last = value;
    found.min = Math.min(found.min, value);
    found.max = Math.max(found.max, value);
  }
  return found;
}

export type Row = Window & { values: (Summary | undefined)[] };

/** The window in so many equal parts, newest first, with what each curve was in them. */
export function table(curves: readonly (readonly Point[])[], { from, to }: Window, parts: number): Row[] {
  const step = (to - from) / parts;
  return Array.from({ length: parts }, (_, index) => {
    const part = { from: to - (index + 1) * step, to: to - index * step };
    // The moment between two parts belongs to the later one.
    const inside = index === 0 ? part : { from: part.from, to: part.to - 1 };
    return { ...part, values: curves.map((points) => summary(points, inside)) };
  });
}

export type Numbered = Mark & { number: number };

/** Those that concern the window, oldest first, numbered as they are on the chart and in the list below it. */
export function numbered(marks: readonly Mark[], { from, to }: Window): Numbered[] {
  return marks
    .filter(({ at, until }) => at <= to && (until ?? at) >= from)
    .sort((a, b) => a.at - b.at)
    .map((mark, index) => ({ ...mark, number: index + 1 }));
}

const SIGNS = [
  ["incident", "▲"],
  ["change", "◆"],
] as const;

/** The signs of these marks, incidents first, and their numbers: `▲2`, `▲◆3–5`. */
export function badge(marks: readonly Numbered[]): string {
  const signs = SIGNS.filter(([kind]) => marks.some((mark) => mark.kind === kind)).map(([, sign]) => sign);
  const [first, last] = [marks[0]?.number, marks.at(-1)?.number];
  return `${signs.join("")}${first === last ? first : `${first}–${last}`}`;
}

type Ruler = { place: (at: number) => number; width: (text: string) => number; edges: Window };

/** Where each label has its middle, within the edges; marks whose labels would cover each other share one. */
export function labels(
  marks: readonly Numbered[],
  { place, width, edges }: Ruler,
): { x: number; text: string }[] {
  const label = (own: readonly Numbered[]) => {
    const text = badge(own);
    const half = width(text) / 2;
    const middle = (place(own[0]?.at ?? 0) + place(own.at(-1)?.at ?? 0)) / 2;
    return { x: Math.max(edges.from + half, Math.min(middle, edges.to - half)), text, half };
  };
  const groups: (readonly Numbered[])[] = [];
  for (const mark of marks) {
    let group: readonly Numbered[] = [mark];
    for (let last = groups.at(-1); last; last = groups.at(-1)) {
      const [before, after] = [label(last), label(group)];
      if (after.x - before.x > before.half + after.half) break;
      group = [...last, ...group];
      groups.pop();
    }
    groups.push(group);
  }
  return groups.map((group) => {
    const { x, text } = label(group);
    return { x, text };
  });
}

/** `14:05`, and with seconds where they tell something. */
export function timeOfDay(at: number, seconds: boolean): string {
  const date = new Date(at);
  const parts = [date.getHours(), date.getMinutes(), ...(seconds ? [date.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

const WEEKDAY = new Intl.DateTimeFormat("en", { weekday: "short" });

export const dayOf = (at: number): string => `${WEEKDAY.format(at)} ${new Date(at).getDate()}`;

/** As exact as the window needs, with the day where that is another than the one it ends on. */
export function moment(at: number, { from, to }: Window): string {
  const time = timeOfDay(at, to - from < 30 * 60_000);
  return dayOf(at) === dayOf(to) ? time : `${dayOf(at)}, ${time}`;
}
