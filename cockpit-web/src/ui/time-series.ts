// Curves as SVG paths. Pure.

export type Point = { at: number; value: number };
export type Frame = { width: number; height: number; from: number; to: number; max: number };

/** A gap longer than this between two points is no line: nothing was measured then. */
const BREAK_MS = 20_000;

export function x(frame: Frame, at: number): number {
  return ((at - frame.from) / (frame.to - frame.from)) * frame.width;
}

export function y(frame: Frame, value: number): number {
  return frame.height - (Math.min(value, frame.max) / frame.max) * frame.height;
}

export function linePath(points: readonly Point[], frame: Frame): string {
  let path = "";
  let last: number | undefined;
  for (const point of points) {
    if (point.at < frame.from) continue;
    const command = last === undefined || point.at - last > BREAK_MS ? "M" : "L";
    path += `${command}${x(frame, point.at).toFixed(1)} ${y(frame, point.value).toFixed(1)}`;
    last = point.at;
  }
  return path;
}

/** The least round number that is not below. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * size >= value * 0.999) ?? 10;
  return step * size;
}

/** Growth a second of a counter; where it fell it was reset. */
export function rates(points: readonly Point[]): Point[] {
  const out: Point[] = [];
  for (let index = 1; index < points.length; index++) {
    const [a, b] = [points[index - 1], points[index]];
    if (!a || !b || b.at <= a.at) continue;
    const grown = b.value - a.value;
    out.push({ at: b.at, value: grown < 0 ? 0 : (grown / (b.at - a.at)) * 1000 });
  }
  return out;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}
