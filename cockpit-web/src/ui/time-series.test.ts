import { expect, test } from "vitest";
import { bytes, linePath, rates, roundUp } from "./chart";

const frame = { width: 100, height: 10, from: 0, to: 100_000, max: 10 };

test("a curve breaks where nothing was measured, and is cut off at the top", () => {
  const points = [
    { at: 0, value: 0 },
    { at: 10_000, value: 5 },
    { at: 50_000, value: 50 },
  ];
  expect(linePath(points, frame)).toBe("M0.0 10.0L10.0 5.0M50.0 0.0");
  expect(linePath([{ at: -1, value: 1 }], frame)).toBe("");
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

test("axes end at round numbers, and bytes have units", () => {
  expect([0, 0.3, 7, 87, 100, 101].map(roundUp)).toEqual([1, 0.5, 10, 100, 100, 200]);
  expect(bytes(1536)).toBe("1.5 KiB");
  expect(bytes(0)).toBe("0 B");
});
