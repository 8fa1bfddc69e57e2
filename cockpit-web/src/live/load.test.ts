import { expect, test } from "vitest";
import { kept } from "./load";

test("the first samples of a day are minutes, and what was left out is named", () => {
  const { series, interval, leftOut } = kept({
    intervalSeconds: 3,
    series: [
      {
        name: "web",
        minute_samples: 1,
        samples: [
          { t: "2026-01-31T12:00:00Z", cpu_percent: 5, memory_mb: 1 },
          { t: "2026-01-31T12:00:03Z", cpu_percent: null, memory_mb: 2, memory_limit_mb: 64 },
        ],
      },
    ],
    leftOut: ["zoo"],
  });
  expect(series.get("web")?.map(({ at, minute, memory_mb }) => [at, minute, memory_mb])).toEqual([
    [Date.parse("2026-01-31T12:00:00Z"), true, 1],
    [Date.parse("2026-01-31T12:00:03Z"), undefined, 2],
  ]);
  expect([interval, leftOut]).toEqual([3, ["zoo"]]);
});

test("an answer of an earlier controller is read as before", () => {
  const { series, leftOut } = kept({ intervalSeconds: 3, series: [{ name: "web", samples: [] }] });
  expect([series.get("web"), leftOut]).toEqual([[], []]);
});
