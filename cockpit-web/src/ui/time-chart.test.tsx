// @vitest-environment jsdom
// What a chart says where it is not seen: jsdom draws nothing, and the words must do.

import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { expect, test, vi } from "vitest";
import { MarkList, spokenSummary, TimeChart } from "./time-chart";
import { endOf } from "./time-range";
import { numbered } from "./time-series";
import { ofACore } from "./units";

const plots = vi.hoisted(() => [] as { series: number; gone: boolean; columns: number[] }[]);

vi.mock("uplot", () => ({
  default: class {
    readonly own: (typeof plots)[number];
    constructor({ series }: { series: unknown[] }) {
      this.own = { series: series.length, gone: false, columns: [] };
      plots.push(this.own);
    }
    setData(data: unknown[]) {
      if (this.own.gone) throw new Error("it is destroyed");
      this.own.columns.push(data.length);
    }
    setSize() {}
    destroy() {
      this.own.gone = true;
    }
  },
}));

const T = new Date(2026, 0, 31, 12, 0, 0).getTime();
const window = { from: T, to: T + 3_600_000 };
const curves = [
  {
    name: "web",
    points: [
      { at: T + 1000, value: 10 },
      { at: T + 2000, value: null },
      { at: T + 3000, value: 90 },
    ],
  },
  { name: "db", points: [] },
];
const lines = [{ value: 85, name: "threshold" }];
const marks = numbered(
  [
    { at: T + 10, until: T + 20, name: "Memory high, Resolved", kind: "incident", to: "/incidents/a" },
    { at: T + 30, name: "restarted web", kind: "change" },
  ],
  window,
);

test("the chart is described in words: values, gaps, threshold, marks, time", () => {
  expect(spokenSummary("CPU", { curves, window, lines, marks, unit: ofACore })).toBe(
    "CPU: web 90 % of a core, least 10 % of a core, most 90 % of a core, 1 gap; db not measured; " +
      "threshold 85 % of a core; 2 marks; 12:00 to 13:00",
  );
});

test("the same is there as a table, from the keyboard", async () => {
  render(
    <TimeChart title="CPU" curves={curves} unit={ofACore} window={window} lines={lines} marks={marks} />,
  );
  const details = screen.getByText(/min 10 %, max 90 %/);
  await userEvent.setup().click(details);
  const table = await screen.findByRole("table");
  const rows = within(table).getAllByRole("row");
  expect(rows.length).toBe(13);
  expect(rows[1]?.textContent).toBe("12:55 – 13:00not measurednot measured");
  expect(rows[12]?.textContent).toBe("12:00 – 12:0510 % – 90 %not measured");
});

test("other curves make another plot, and the one that is gone is given nothing", async () => {
  class Sight {
    readonly seen: (entries: { isIntersecting: boolean }[]) => void;
    constructor(seen: Sight["seen"]) {
      this.seen = seen;
    }
    observe() {
      this.seen([{ isIntersecting: true }]);
    }
    disconnect() {}
  }
  vi.stubGlobal("IntersectionObserver", Sight);
  vi.stubGlobal("ResizeObserver", Sight);
  const chart = (count: number) => (
    <TimeChart title="CPU" curves={curves.slice(0, count)} unit={ofACore} window={window} />
  );
  const { rerender } = render(chart(2));
  await vi.waitFor(() => expect(plots[0]?.columns).toEqual([3]));
  rerender(chart(1));
  await vi.waitFor(() => expect(plots[1]?.columns).toEqual([2]));
  expect(plots.map(({ series, gone }) => [series, gone])).toEqual([
    [3, true],
    [2, false],
  ]);
  expect(plots[0]?.columns).toEqual([3]);
  vi.unstubAllGlobals();
});

test("a chart without a value says so", () => {
  render(<TimeChart title="CPU" curves={[]} unit={ofACore} window={window} />);
  expect(screen.getByText("Nothing was measured in this time")).toBeDefined();
});

test("marks are listed with their sign, time and link", () => {
  render(
    <MemoryRouter>
      <MarkList marks={marks} window={window} />
    </MemoryRouter>,
  );
  const items = within(screen.getByRole("list", { name: "Marks" })).getAllByRole("listitem");
  expect(items.map(({ textContent }) => textContent)).toEqual([
    "▲112:00Memory high, Resolved",
    "◆212:00restarted web",
  ]);
  expect(screen.getByRole("link").getAttribute("href")).toBe("/incidents/a");
});

test("the right edge is never before now, and moves in steps of the range", () => {
  expect(endOf(1000, 15 * 60_000)).toBe(3000);
  expect(endOf(3000, 15 * 60_000)).toBe(3000);
  const day = endOf(T, 86_400_000);
  expect(day).toBeGreaterThanOrEqual(T);
  expect(day - T).toBeLessThan(288_000);
});
