// One chart: curves over a span of time, thresholds, and what happened meanwhile. Drawn by uPlot once it is in sight. What
// the canvas shows is also there as text: a summary, and a table.

import {
  type ReactNode,
  type RefObject,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { Link } from "react-router";
import type uPlot from "uplot";
import { useInSight } from "./in-sight";
import { colourOf, useShownTheme } from "./palette";
import { type Curve, type Hover, type Line, lookOf, options, type Shown } from "./plot";
import { badge, columns, moment, type Numbered, seen, summary, table, top, type Window } from "./time-series";
import type { Unit } from "./units";
import "./time-chart.css";

type Props = {
  title: string;
  note?: ReactNode;
  curves: readonly Curve[];
  unit: Unit;
  window: Window;
  /** Thresholds and limits. */
  lines?: readonly Line[];
  marks?: readonly Numbered[];
  /** The axis reaches at least so far. */
  least?: number;
  /** Part of it was chosen; undefined: all of it again. */
  onZoom?: (window: Window | undefined) => void;
  /** Charts of one key share their crosshair. */
  sync?: string;
  height?: string;
};

const NO_LINES: readonly Line[] = [];
const NO_MARKS: readonly Numbered[] = [];
/** Rows of the table. */
const ROWS = 12;

export function TimeChart({
  title,
  note,
  curves,
  unit,
  window,
  lines = NO_LINES,
  marks = NO_MARKS,
  least = 0,
  onZoom,
  sync,
  height = "h-44",
}: Props) {
  const { from, to } = window;
  const frame = useRef<HTMLDivElement>(null);
  const [hover, setHover] = useState<Hover>();
  const drawn = useMemo(
    () => curves.map((curve) => ({ ...curve, points: seen(curve.points, { from, to }) })),
    [curves, from, to],
  );
  const sums = drawn.map(({ points }) => summary(points, { from, to }));
  const max = top(
    sums.map((sum) => sum?.max ?? 0),
    lines.map(({ value }) => value),
    least,
  );
  usePlot(frame, { drawn, window, max, unit, lines, marks, sync, setHover, onZoom });
  const empty = sums.every((sum) => !sum);
  return (
    <figure className="min-w-0">
      <figcaption className="mb-1 flex flex-wrap items-baseline justify-between gap-x-3 text-xs">
        <span className="text-soft">
          {title}
          {note && <span className="text-faint"> · {note}</span>}
        </span>
        <span className="flex flex-wrap gap-x-3 tabular-nums">
          {drawn.map(({ name }, index) => (
            <Entry key={name} name={curves.length > 1 ? name : ""} index={index}>
              {sums[index] ? short(unit, sums[index].last) : "–"}
            </Entry>
          ))}
        </span>
      </figcaption>
      <div className="relative">
        <div
          ref={frame}
          role="img"
          data-chart={title}
          data-points={drawn.reduce((count, { points }) => count + points.length, 0)}
          aria-label={spokenSummary(title, { curves, window, lines, marks, unit })}
          className={`relative w-full overflow-hidden rounded-sm bg-sunken ${height}`}
        />
        {empty && (
          <p className="pointer-events-none absolute inset-0 grid place-items-center text-faint text-xs">
            Nothing was measured in this time
          </p>
        )}
        {hover && <Tip hover={hover} curves={drawn} unit={unit} window={window} width={frame.current} />}
      </div>
      <Table title={title} curves={drawn} unit={unit} window={window} sums={sums} />
    </figure>
  );
}

type Drawing = {
  drawn: readonly Curve[];
  window: Window;
  max: number;
  unit: Unit;
  lines: readonly Line[];
  marks: readonly Numbered[];
  sync: string | undefined;
  setHover: (hover: Hover | undefined) => void;
  onZoom: ((window: Window | undefined) => void) | undefined;
};

/** The plot in this element: made when it comes into sight, given what is new, as wide as its place. */
function usePlot(frame: RefObject<HTMLDivElement | null>, drawing: Drawing): void {
  const { drawn, window, max, unit, lines, marks, sync } = drawing;
  const { now: visible, ever: near } = useInSight(frame);
  const theme = useShownTheme();
  const [plot, setPlot] = useState<uPlot>();
  // The one that is there: state follows later than the effect that destroys it.
  const alive = useRef<uPlot>(undefined);
  const latest = useRef(drawing);
  const shown = useRef<Shown>(undefined);
  useLayoutEffect(() => {
    latest.current = drawing;
  });
  const names = drawn.map(({ name }) => name).join("\n");
  // biome-ignore lint/correctness/useExhaustiveDependencies: other names are other series: the plot is made again
  useEffect(() => {
    const place = frame.current;
    if (!near || !place) return;
    let made: uPlot | undefined;
    let gone = false;
    const sizes = new ResizeObserver(() => made?.setSize(sizeOf(place)));
    void import("uplot").then(({ default: UPlot }) => {
      if (gone) return;
      shown.current = shownOf(place, latest.current);
      const first = shown.current;
      const style = getComputedStyle(document.documentElement);
      const wanted = {
        shown: () => shown.current ?? first,
        curves: latest.current.drawn,
        text: Number.parseFloat(style.fontSize) * 0.6875,
        family: getComputedStyle(document.body).fontFamily,
        sync,
        hovered: (hover: Hover | undefined) => latest.current.setHover(hover),
        zoomed: (zoom: Window | undefined) => latest.current.onZoom?.(zoom),
      };
      const data = columns(latest.current.drawn.map(({ points }) => points));
      made = new UPlot(options(wanted, sizeOf(place)), data, place);
      sizes.observe(place);
      alive.current = made;
      setPlot(made);
    });
    return () => {
      gone = true;
      alive.current = undefined;
      sizes.disconnect();
      made?.destroy();
      setPlot(undefined);
      latest.current.setHover(undefined);
    };
  }, [near, names, unit, sync, frame]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme has other colours
  useEffect(() => {
    const place = frame.current;
    if (!plot || alive.current !== plot || !place || !visible) return;
    shown.current = shownOf(place, { ...latest.current, drawn, window, max, unit, lines, marks });
    plot.setData(columns(drawn.map(({ points }) => points)));
  }, [plot, visible, drawn, window.from, window.to, max, unit, lines, marks, theme, frame]);
}

const sizeOf = ({ clientWidth, clientHeight }: HTMLElement) => ({ width: clientWidth, height: clientHeight });

function shownOf(place: HTMLElement, { drawn, window, max, unit, lines, marks }: Drawing): Shown {
  const colour = (name: string) => colourOf(place, name);
  return {
    window,
    max,
    unit,
    lines,
    marks,
    palette: {
      curves: drawn.map((_, index) => colour(lookOf(index).text)),
      ink: colour("text-faint"),
      grid: colour("text-line"),
      ground: colour("text-sunken"),
      alarm: colour("text-bad"),
      change: colour("text-info"),
    },
  };
}

/** As beside the axis: what the unit is of stands in the title. */
const short = ({ show, tick = show }: Unit, value: number): string => tick(value);

/** A piece of the curve, its name, a value. */
function Entry({ name, index, children }: { name: string; index: number; children: ReactNode }) {
  const { text, dash } = lookOf(index);
  return (
    <span className="inline-flex items-baseline gap-1">
      <svg
        viewBox="0 0 24 8"
        aria-hidden="true"
        className={`h-2 w-6 shrink-0 self-center ${text}`}
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
      >
        <path d="M0 4h24" strokeDasharray={dash.join(" ")} />
      </svg>
      {name && <span className="break-all text-faint">{name}</span>}
      <span>{children}</span>
    </span>
  );
}

type TipProps = {
  hover: Hover;
  curves: readonly Curve[];
  unit: Unit;
  window: Window;
  width: HTMLElement | null;
};

/** What was measured where the pointer is. */
function Tip({ hover, curves, unit, window, width }: TipProps) {
  const isRight = hover.left > (width?.clientWidth ?? 0) / 2;
  const side = isRight ? { right: (width?.clientWidth ?? 0) - hover.left + 10 } : { left: hover.left + 10 };
  return (
    <div
      aria-hidden="true"
      style={side}
      className="pointer-events-none absolute top-6 z-10 max-w-72 rounded-md border border-line-strong bg-raised px-2 py-1 text-xs tabular-nums shadow-lg"
    >
      <p className="text-faint">{moment(hover.at, window)}</p>
      {curves.map(({ name }, index) => {
        const value = hover.values[index];
        return (
          <p key={name}>
            <Entry name={name} index={index}>
              {value == null ? "not measured" : short(unit, value)}
            </Entry>
          </p>
        );
      })}
    </div>
  );
}

type TableProps = {
  title: string;
  curves: readonly Curve[];
  unit: Unit;
  window: Window;
  sums: ReturnType<typeof summary>[];
};

/** The same in words: least and most, and on request a table. */
function Table({ title, curves, unit, window, sums }: TableProps) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const least = sums.flatMap((sum) => (sum ? [sum.min] : []));
  const most = sums.flatMap((sum) => (sum ? [sum.max] : []));
  return (
    <details className="mt-0.5 text-2xs text-faint" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="w-fit tabular-nums" id={id}>
        {least.length > 0
          ? `min ${short(unit, Math.min(...least))}, max ${short(unit, Math.max(...most))}`
          : "no values"}
        <span className="sr-only"> of {title}: show as a table</span>
      </summary>
      {open && (
        <section
          aria-labelledby={id}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable from the keyboard
          tabIndex={0}
          className="scroll-thin mt-1 overflow-auto rounded-md border"
        >
          <table className="w-full text-left text-xs tabular-nums">
            <caption className="sr-only">{title}, least and most in each part of the time</caption>
            <thead className="text-faint">
              <tr>
                <th scope="col" className="px-2 py-1 font-medium">
                  Time
                </th>
                {curves.map(({ name }) => (
                  <th key={name} scope="col" className="px-2 py-1 font-medium">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody className="text-soft">
              {table(
                curves.map(({ points }) => points),
                window,
                ROWS,
              ).map((row) => (
                <tr key={row.from} className="border-t">
                  <th scope="row" className="whitespace-nowrap px-2 py-0.5 font-normal">
                    {moment(row.from, window)} – {moment(row.to, window)}
                  </th>
                  {row.values.map((sum, index) => (
                    <td key={curves[index]?.name} className="whitespace-nowrap px-2 py-0.5">
                      {sum ? `${short(unit, sum.min)} – ${short(unit, sum.max)}` : "not measured"}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  );
}

type Summed = Pick<Props, "curves" | "window" | "unit"> & {
  lines: readonly Line[];
  marks: readonly Numbered[];
};

/** The chart in words, for those who do not see it. */
export function spokenSummary(title: string, { curves, window, lines, marks, unit }: Summed): string {
  const parts = curves.map(({ name, points }) => {
    const sum = summary(points, window);
    if (!sum) return `${name} not measured`;
    const gaps = sum.gaps > 0 ? `, ${sum.gaps} ${sum.gaps === 1 ? "gap" : "gaps"}` : "";
    return `${name} ${unit.show(sum.last)}, least ${unit.show(sum.min)}, most ${unit.show(sum.max)}${gaps}`;
  });
  const more = [
    ...lines.map(({ name, value }) => `${name} ${unit.show(value)}`),
    ...(marks.length > 0 ? [`${marks.length} ${marks.length === 1 ? "mark" : "marks"}`] : []),
  ];
  const span = `${moment(window.from, window)} to ${moment(window.to, window)}`;
  return `${title}: ${[...parts, ...more].join("; ")}; ${span}`;
}

/** What the numbers above the charts stand for. */
export function MarkList({ marks, window }: { marks: readonly Numbered[]; window: Window }) {
  if (marks.length === 0) return null;
  return (
    <ol aria-label="Marks" className="mt-3 flex flex-wrap gap-x-5 text-xs">
      {marks.map((mark) => (
        <li key={`${mark.number} ${mark.name}`} className="inline-flex min-h-6 min-w-0 items-center gap-1.5">
          <span className={mark.kind === "incident" ? "text-bad" : "text-info"}>{badge([mark])}</span>
          <time dateTime={new Date(mark.at).toISOString()} className="text-faint tabular-nums">
            {moment(mark.at, window)}
          </time>
          {mark.to ? (
            <Link
              to={mark.to}
              className="inline-block min-h-6 min-w-0 break-words py-0.5 text-accent hover:underline"
            >
              {mark.name}
            </Link>
          ) : (
            <span className="min-w-0 break-words text-soft">{mark.name}</span>
          )}
        </li>
      ))}
    </ol>
  );
}
