import { expect, test } from "vitest";
import { bytes, bytesPerSecond, counted, mebibytes, minutes, ofACore, percent } from "./units";

test("numbers have units, and no more digits than people can use", () => {
  expect([0, 0.123, 4.56, 12.3, 84.5, 100].map(percent.show)).toEqual([
    "0 %",
    "0.12 %",
    "4.6 %",
    "12 %",
    "85 %",
    "100 %",
  ]);
  expect(ofACore.show(85)).toBe("85 % of a core");
  expect(minutes.show(30)).toBe("30 min");
  expect(mebibytes.show(1536)).toBe("1.5 GiB");
  expect(mebibytes.show(128)).toBe("128 MiB");
  expect(bytesPerSecond.show(2048)).toBe("2.0 KiB/s");
  expect([1, 3].map(counted("crash", "crashes").show)).toEqual(["1 crash", "3 crashes"]);
});

test("bytes have units", () => {
  expect(bytes(1536)).toBe("1.5 KiB");
  expect(bytes(0)).toBe("0 B");
});
