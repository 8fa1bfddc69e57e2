import { expect, test } from "vitest";
import { diffLines, hunks } from "./diff";

const show = (before: string, after: string) =>
  diffLines(before, after).map((line) => `${{ same: " ", added: "+", removed: "-" }[line.kind]}${line.text}`);

test("a changed line is shown as removed and added, between what stayed", () => {
  expect(show("a\nb\nc\n", "a\nx\nc\n")).toEqual([" a", "-b", "+x", " c"]);
});

test("the same text has no changes, and nothing is not an empty line", () => {
  expect(show("a\nb", "a\nb\n")).toEqual([" a", " b"]);
  expect(show("", "a\n")).toEqual(["+a"]);
  expect(show("a\n", "")).toEqual(["-a"]);
});

test("what moved past a common line keeps that line", () => {
  expect(show("1\n2\n3\n4\n", "2\n3\n5\n4\n")).toEqual(["-1", " 2", " 3", "+5", " 4"]);
});

test("far from a change lines are left out", () => {
  const before = Array.from({ length: 20 }, (_, n) => `l${n}`).join("\n");
  const kept = hunks(diffLines(before, before.replace("l10", "x")), 1);
  expect(kept.map((line) => line?.text ?? "…")).toEqual(["…", "l9", "l10", "x", "l11", "…"]);
});
