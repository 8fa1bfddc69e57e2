import { expect, test } from "vitest";
import {
  broken,
  columns,
  labels,
  type Mark,
  moment,
  numbered,
  rates,
  seen,
  summary,
  table,
  timeOfDay,
  top,
} from "./time-series";

const GAP = () => 20_000;

test("a curve breaks where nothing was measured", () => {
  const points = [
    { at: 0, value: 0 },
    { at: 10_000, value: 5 },
    { at: 50_000, value: 50 },
  ];
  const curve = broken(points, GAP);
  expect(curve).toEqual([
    { at: 0, value: 0 },
    { at: 10_000, value: 5 },
    { at: 10_001, value: null },
    { at: 50_000, value: 50 },
  ]);
  expect(summary(curve, { from: 0, to: 100_000 })).toEqual({ last: 50, min: 0, max: 50, gaps: 1 });
  expect(broken([{ at: -1, value: 1 }], GAP)).toEqual([{ at: -1, value: 1 }]);
});

test("a counter becomes a rate, and one that was reset is no fall", () => {
  const counted = [
    { at: 0, value: 100 },
    { at: 2000, value: 300 },
    { at: 3000, value: 10 },
  ];
  expect(rates(counted)).toEqual([
    { at: 2000, value: 100 },
    { at: 3000, value: 0 },
  ]);
});

test("an axis ends above its values and its threshold, and never at 0", () => {
  expect(top([40, 80], [], 5)).toBe(84);
  expect(top([40], [85], 5)).toBeCloseTo(93.5);
  expect(top([1], [], 5)).toBe(5);
  expect(top([0], [], 0)).toBe(1);
});

test("curves with times of their own share a column of times, and a missing point is no gap", () => {
  const one = [
    { at: 1000, value: 1 },
    { at: 1001, value: null },
    { at: 3000, value: 3 },
  ];
  const other = [{ at: 2000, value: 20 }];
  expect(columns([one, other])).toEqual([
    [1, 1.001, 2, 3],
    [1, null, undefined, 3],
    [undefined, undefined, 20, undefined],
  ]);
});

test("what is outside the window is neither drawn nor summed up, but for one point on either side", () => {
  const points = [0, 1, 2, 3, 4].map((at) => ({ at, value: at * 10 }));
  const window = { from: 1.5, to: 2.5 };
  expect(seen(points, window).map(({ at }) => at)).toEqual([1, 2, 3]);
  expect(seen(points, { from: 9, to: 10 }).map(({ at }) => at)).toEqual([4]);
  expect(summary(points, window)).toEqual({ last: 20, min: 20, max: 20, gaps: 0 });
  expect(summary(points, { from: 9, to: 10 })).toBeUndefined();
});

test("the table has every part of the window, the newest first", () => {
  const points = [
    { at: 0, value: 1 },
    { at: 50, value: 2 },
    { at: 100, value: 3 },
  ];
  const rows = table([points], { from: 0, to: 100 }, 2);
  expect(rows.map(({ from, to }) => [from, to])).toEqual([
    [50, 100],
    [0, 50],
  ]);
  expect(rows.map(({ values: [one] }) => [one?.min, one?.max])).toEqual([
    [2, 3],
    [1, 1],
  ]);
});

test("marks are numbered by time, and those too close together share a label", () => {
  const marks: Mark[] = [
    { at: 50, name: "restarted", kind: "change" },
    { at: 10, until: 45, name: "leak", kind: "incident" },
    { at: 52, name: "crashed", kind: "incident" },
    { at: 99, name: "later", kind: "change" },
    { at: -20, until: -10, name: "long over", kind: "incident" },
    { at: -20, until: 5, name: "reaches in", kind: "incident" },
  ];
  const shown = numbered(marks, { from: 0, to: 90 });
  expect(shown.map(({ number, name }) => [number, name])).toEqual([
    [1, "reaches in"],
    [2, "leak"],
    [3, "restarted"],
    [4, "crashed"],
  ]);
  const ruler = { place: (at: number) => at, width: () => 20, edges: { from: -100, to: 100 } };
  expect(labels(shown, ruler)).toEqual([
    { x: -20, text: "▲1" },
    { x: 10, text: "▲2" },
    { x: 51, text: "▲◆3–4" },
  ]);
  // A label that grew may cover the one before it, too; and so may one that the edge pushes back.
  const wide = (text: string) => (text.length > 2 ? 70 : 20);
  expect(labels(shown.slice(1), { ...ruler, width: wide })).toEqual([{ x: 31, text: "▲◆2–4" }]);
  expect(labels(shown.slice(1), { ...ruler, edges: { from: 0, to: 30 } })).toEqual([
    { x: 20, text: "▲◆2–4" },
  ]);
});

test("the time of day has two digits a part", () => {
  const at = new Date(2026, 0, 31, 9, 5, 7).getTime();
  expect(timeOfDay(at, false)).toBe("09:05");
  expect(timeOfDay(at, true)).toBe("09:05:07");
  const day = { from: at - 86_400_000, to: at };
  expect(moment(at, day)).toBe("09:05");
  expect(moment(at - 36_000_000, day)).toBe("Fri 30, 23:05");
  expect(moment(at, { from: at - 60_000, to: at })).toBe("09:05:07");
});
