import { expect, test } from "vitest";
import { forbidden } from "./role";

test("a role is shown what it may not do, and what it takes", () => {
  expect(forbidden("viewer", "Workload")).toContain("operator");
  expect(forbidden("viewer", "Detector")).toContain("admin");
  expect(forbidden("operator", "Workload")).toBeUndefined();
  expect(forbidden("operator", "RemediationPolicy")).toContain("takes an admin");
  expect(forbidden("operator", "Workload", true)).toContain("takes an admin");
  expect(forbidden("operator", "RunbookEntry", true)).toBeUndefined();
  expect(forbidden("operator", "Silence", true)).toBeUndefined();
  expect(forbidden("operator", "AlertSource")).toContain("takes an admin");
  expect(forbidden("admin", "Detector", true)).toBeUndefined();
});
