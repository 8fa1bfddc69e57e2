// One chart: curves over fifteen minutes, a limit, and the incidents that happened.

import { useMemo, useState } from "react";
import { clock } from "@/ui/time";
import { type Frame, linePath, type Point, roundUp, x, y } from "./chart";

export type Curve = { name: string; points: readonly Point[]; look: string };
export type Mark = { at: number; until: number; name: string; bad: boolean };

type Props = {
  title: string;
  curves: readonly Curve[];
  marks: readonly Mark[];
  from: number;
  to: number;
  show: (value: number) => string;
  limit?: { value: number; name: string };
  least?: number;
};

const SIZE = { width: 360, height: 84 };

export function TimeChart({ title, curves, marks, from, to, show, limit, least = 0 }: Props) {
  const [at, setAt] = useState<number>();
  const highest = curves.reduce(
    (max, curve) => curve.points.reduce((most, point) => Math.max(most, point.value), max),
    least,
  );
  const max = roundUp(limit ? Math.max(highest, limit.value * 1.05) : highest);
  const frame: Frame = { ...SIZE, from, to, max };
  const paths = useMemo(
    () => curves.map((curve) => linePath(curve.points, { ...SIZE, from, to, max })),
    [curves, from, to, max],
  );
  const shown = curves.map((curve) => ({ ...curve, point: nearest(curve.points, at ?? to) }));
  const words = shown.map(({ name, point }) => `${name} ${point ? show(point.value) : "unknown"}`).join(", ");
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex flex-wrap items-baseline justify-between gap-x-2 text-xs">
        <span className="text-faint">{title}</span>
        <span className="flex gap-x-3 tabular-nums">
          {shown.map(({ name, point, look }) => (
            <span key={name} className={look.replace("stroke-", "text-")}>
              {curves.length > 1 && <span className="text-faint">{name} </span>}
              {point ? show(point.value) : "–"}
            </span>
          ))}
        </span>
      </figcaption>
      <svg
        role="img"
        aria-label={`${title}: ${words}${limit ? `, ${limit.name} ${show(limit.value)}` : ""}`}
        viewBox={`0 -4 ${SIZE.width} ${SIZE.height + 20}`}
        preserveAspectRatio="none"
        className="block h-28 w-full overflow-visible rounded-sm bg-sunken"
        onPointerMove={(event) => {
          const { left, width } = event.currentTarget.getBoundingClientRect();
          setAt(from + ((event.clientX - left) / width) * (to - from));
        }}
        onPointerLeave={() => setAt(undefined)}
      >
        {[0, 0.5, 1].map((part) => (
          <line
            key={part}
            x1="0"
            x2={SIZE.width}
            y1={y(frame, max * part)}
            y2={y(frame, max * part)}
            className="stroke-line"
            strokeWidth="1"
            vectorEffect="non-scaling-stroke"
          />
        ))}
        {marks.map((mark) => (
          <g key={mark.name + mark.at} className={mark.bad ? "stroke-bad" : "stroke-warn"}>
            <title>{mark.name}</title>
            <rect
              x={x(frame, mark.at)}
              width={Math.max(2, x(frame, mark.until) - x(frame, mark.at))}
              y="-4"
              height={SIZE.height + 4}
              className={mark.bad ? "fill-bad/15" : "fill-warn/15"}
              stroke="none"
            />
            <line
              x1={x(frame, mark.at)}
              x2={x(frame, mark.at)}
              y1="-4"
              y2={SIZE.height}
              strokeWidth="1.500"
              strokeDasharray="3 2"
              vectorEffect="non-scaling-stroke"
            />
          </g>
        ))}
        {limit && (
          <line
            x1="0"
            x2={SIZE.width}
            y1={y(frame, limit.value)}
            y2={y(frame, limit.value)}
            className="stroke-bad"
            strokeWidth="1.200"
            strokeDasharray="6 3"
            vectorEffect="non-scaling-stroke"
          />
        )}
        {paths.map((path, index) => (
          <path
            key={curves[index]?.name}
            d={path}
            fill="none"
            className={curves[index]?.look}
            strokeWidth="1.600"
            strokeLinejoin="round"
            vectorEffect="non-scaling-stroke"
          />
        ))}
        {at !== undefined && (
          <line
            x1={x(frame, at)}
            x2={x(frame, at)}
            y1="0"
            y2={SIZE.height}
            className="stroke-faint"
            strokeWidth="1"
            vectorEffect="non-scaling-stroke"
          />
        )}
      </svg>
      <div className="mt-0.5 flex justify-between text-2xs text-faint tabular-nums">
        <span>{clock(new Date(from).toISOString()).slice(0, 5)}</span>
        <span>{at === undefined ? `0 – ${show(max)}` : clock(new Date(at).toISOString()).slice(0, 8)}</span>
        <span>now</span>
      </div>
    </figure>
  );
}

function nearest(points: readonly Point[], at: number): Point | undefined {
  let found: Point | undefined;
  for (const point of points) {
    if (point.at <= at) found = point;
    else break;
  }
  return found;
}
