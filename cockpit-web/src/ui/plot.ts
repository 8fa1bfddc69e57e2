// A chart on uPlot: its axes, its colours, and what is drawn beside the curves: thresholds, incidents, changes. What it
// shows is requested at every drawing.

import type uPlot from "uplot";
import { dayOf, labels, type Numbered, type Point, timeOfDay, type Window } from "./time-series";
import type { Unit } from "./units";

export type Curve = { name: string; points: readonly Point[] };
/** A threshold or a limit; `quiet`: nothing is wrong above it. */
export type Line = { value: number; name: string; quiet?: boolean };
export type Hover = { at: number; left: number; values: (number | null | undefined)[] };

/** How each curve looks: colour and dashes together, so that neither is needed to tell them apart. */
export const LOOKS: readonly { text: string; dash: number[] }[] = [
  { text: "text-accent", dash: [] },
  { text: "text-ok", dash: [7, 3] },
  { text: "text-warn", dash: [2, 3] },
  { text: "text-info", dash: [9, 3, 2, 3] },
  { text: "text-soft", dash: [14, 4] },
  { text: "text-faint", dash: [4, 2, 1, 2] },
];

export const lookOf = (index: number) => LOOKS[index % LOOKS.length] ?? { text: "text-accent", dash: [] };

export type Palette = {
  curves: string[];
  ink: string;
  grid: string;
  ground: string;
  alarm: string;
  change: string;
};

export type Shown = {
  window: Window;
  max: number;
  unit: Unit;
  lines: readonly Line[];
  marks: readonly Numbered[];
  palette: Palette;
};

type Wanted = {
  shown: () => Shown;
  curves: readonly Curve[];
  /** Pixels of the small text. */
  text: number;
  family: string;
  sync: string | undefined;
  hovered: (hover: Hover | undefined) => void;
  zoomed: (window: Window | undefined) => void;
};

/** Midnight is written as the day that begins. */
function tickOf(seconds: number, distance: number): string {
  const date = new Date(seconds * 1000);
  if (distance >= 60 && date.getHours() === 0 && date.getMinutes() === 0) {
    return dayOf(seconds * 1000);
  }
  return timeOfDay(seconds * 1000, distance < 60);
}

export function options(wanted: Wanted, size: { width: number; height: number }): uPlot.Options {
  const { shown, text, family } = wanted;
  const font = `${text}px ${family}`;
  const quiet = {
    stroke: () => shown().palette.ink,
    grid: { stroke: () => shown().palette.grid, width: 1 },
    ticks: { stroke: () => shown().palette.grid, width: 1, size: text / 3 },
    font,
  };
  const tick = (value: number) => (shown().unit.tick ?? shown().unit.show)(value);
  return {
    ...size,
    class: "time-chart",
    padding: [text * 1.6, text * 1.8, 0, 0],
    legend: { show: false },
    scales: {
      x: { range: () => [shown().window.from / 1000, shown().window.to / 1000] },
      y: { range: () => [0, shown().max] },
    },
    axes: [
      {
        ...quiet,
        size: text * 2,
        space: text * 6,
        gap: text / 3,
        values: (_, splits, __, ___, distance) => splits.map((one) => tickOf(one, distance)),
      },
      {
        ...quiet,
        space: text * 2.6,
        gap: text / 3,
        ...(shown().unit.steps && { incrs: shown().unit.steps }),
        size: (_, values) => text * (1 + 0.58 * Math.max(3, ...(values ?? []).map((one) => one.length))),
        values: (_, splits) => splits.map(tick),
      },
    ],
    series: [
      {},
      ...wanted.curves.map(
        ({ name }, index): uPlot.Series => ({
          label: name,
          stroke: () => shown().palette.curves[index] ?? "",
          width: 1.5,
          dash: lookOf(index).dash,
          points: { size: 4, fill: () => shown().palette.curves[index] ?? "" },
        }),
      ),
    ],
    cursor: {
      y: false,
      points: { size: 7 },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          wanted.zoomed(undefined);
          return null;
        },
      },
      ...(wanted.sync && { sync: { key: wanted.sync, filters: { pub: isMove } } }),
    },
    hooks: {
      drawClear: [(plot) => drawIncidents(plot, shown())],
      draw: [(plot) => drawMarks(plot, shown(), font), (plot) => drawLines(plot, shown(), font)],
      setCursor: [(plot) => wanted.hovered(hoverOf(plot))],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          const at = (pixel: number) => plot.posToVal(pixel, "x") * 1000;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          wanted.zoomed({ from: at(left), to: at(left + width) });
        },
      ],
    },
  };
}

/** Charts side by side share the crosshair, not the selection. */
const isMove = (type: string) => type === "mousemove" || type === "mouseleave";

function hoverOf(plot: uPlot): Hover | undefined {
  const { idx, idxs = [], left = -1 } = plot.cursor;
  const [times] = plot.data;
  const at = idx == null ? undefined : times?.[idx];
  if (left < 0 || at === undefined) return undefined;
  const values = plot.series.slice(1).map((_, index) => {
    const own = idxs[index + 1] ?? idx;
    return own == null ? undefined : plot.data[index + 1]?.[own];
  });
  return { at: at * 1000, left: left + plot.over.offsetLeft, values };
}

/** The time an incident took, behind the curves. */
function drawIncidents(plot: uPlot, { marks, window, palette }: Shown): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.globalAlpha = 0.13;
  ctx.fillStyle = palette.alarm;
  for (const { kind, at, until } of marks) {
    if (kind !== "incident" || until === undefined) continue;
    const from = x(plot, Math.max(at, window.from));
    const to = x(plot, Math.min(until, window.to));
    ctx.fillRect(from, bbox.top, Math.max(2, to - from), bbox.height);
  }
  ctx.restore();
}

/** A line where something happened, and its number above: incidents dashed, changes dotted. */
function drawMarks(plot: uPlot, { marks, window, palette }: Shown, font: string): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = ratio;
  for (const { kind, at } of marks) {
    if (at < window.from) continue;
    ctx.strokeStyle = kind === "incident" ? palette.alarm : palette.change;
    ctx.setLineDash((kind === "incident" ? [4, 3] : [1, 3]).map((dash) => dash * ratio));
    const place = Math.round(x(plot, at)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(place, bbox.top);
    ctx.lineTo(place, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.font = scaled(font, ratio);
  ctx.fillStyle = palette.ink;
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  const place = (at: number) => x(plot, Math.max(at, window.from));
  const width = (text: string) => ctx.measureText(`${text} `).width;
  const edges = { from: bbox.left, to: bbox.left + bbox.width };
  for (const { x: middle, text } of labels(marks, { place, width, edges })) {
    ctx.fillText(text, middle, bbox.top - 2 * ratio);
  }
  ctx.restore();
}

/** Thresholds and limits: dashed, with their name at the right. */
function drawLines(plot: uPlot, { lines, unit, palette }: Shown, font: string): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 1.25 * ratio;
  ctx.font = scaled(font, ratio);
  ctx.textAlign = "right";
  for (const { value, name, quiet = false } of lines) {
    ctx.strokeStyle = quiet ? palette.ink : palette.alarm;
    ctx.setLineDash((quiet ? [2, 4] : [8, 4]).map((dash) => dash * ratio));
    const y = Math.round(plot.valToPos(value, "y", true)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    const isHigh = y - bbox.top < 16 * ratio;
    ctx.textBaseline = isHigh ? "top" : "bottom";
    const text = `${name} ${(unit.tick ?? unit.show)(value)}`;
    const [right, edge] = [bbox.left + bbox.width - 3 * ratio, y + (isHigh ? 3 : -3) * ratio];
    // Readable over a curve.
    const { width, actualBoundingBoxAscent: up, actualBoundingBoxDescent: down } = ctx.measureText(text);
    ctx.globalAlpha = 0.8;
    ctx.fillStyle = palette.ground;
    ctx.fillRect(right - width - 2 * ratio, edge - up - ratio, width + 4 * ratio, up + down + 2 * ratio);
    ctx.globalAlpha = 1;
    ctx.fillStyle = quiet ? palette.ink : palette.alarm;
    ctx.fillText(text, right, edge);
  }
  ctx.restore();
}

const x = (plot: uPlot, at: number): number => plot.valToPos(at / 1000, "x", true);

/** The canvas is drawn in the screen's own pixels. */
const scaled = (font: string, ratio: number): string =>
  font.replace(/^[\d.]+/, (size) => String(Number(size) * ratio));
