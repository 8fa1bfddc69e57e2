import { expect, test } from "vitest";
import { duration, relative } from "./time";

const now = Date.parse("2026-01-31T12:00:00Z");

test("a time is shown in the coarsest unit that fits, past or to come", () => {
  expect(relative("2026-01-31T11:59:59Z", now)).toBe("just now");
  expect(relative("2026-01-31T11:59:20Z", now)).toBe("40 s ago");
  expect(relative("2026-01-31T11:57:00Z", now)).toBe("3 min ago");
  expect(relative("2026-01-29T11:00:00Z", now)).toBe("2 d ago");
  expect(relative("2026-01-31T12:00:05Z", now)).toBe("in 5 s");
  expect(relative("nonsense", now)).toBe("unknown");
});

test("a duration has two digits that matter", () => {
  expect(duration(0.2)).toBe("<1 ms");
  expect(duration(12.4)).toBe("12 ms");
  expect(duration(1430)).toBe("1.4 s");
  expect(duration(200_000)).toBe("3 min 20 s");
  expect(duration(7_500_000)).toBe("2 h 5 min");
  expect(duration(Number.NaN)).toBe("unknown");
});
