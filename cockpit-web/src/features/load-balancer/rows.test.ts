import { expect, test } from "vitest";
import type { BalancerMetrics } from "@/api/types";
import { rowsOf } from "./rows";

test("each upstream comes before its servers, and what has left says so", () => {
  const metrics: BalancerMetrics = {
    name: "lb",
    overSeconds: 60,
    upstreams: [
      { upstream: "web", rates: { requestsPerSecond: 3 } },
      { upstream: "api", rates: { requestsPerSecond: 1 } },
    ],
    servers: [
      { upstream: "api", container: "api-1", inRotation: true, address: "10.0.0.4:80" },
      { upstream: "web", container: "web-1", inRotation: true, address: "10.0.0.2:80" },
      { upstream: "web", container: "web-0", inRotation: false, rates: { requestsPerSecond: 2 } },
    ],
  };
  expect(rowsOf(metrics).map(({ name, note, whole }) => [name, note, whole])).toEqual([
    ["api", "upstream", true],
    ["api-1", "10.0.0.4:80", false],
    ["web", "upstream", true],
    ["web-1", "10.0.0.2:80", false],
    ["web-0", "has left", false],
  ]);
  expect(rowsOf(metrics).map(({ rates }) => rates.requestsPerSecond)).toEqual([
    1,
    undefined,
    3,
    undefined,
    2,
  ]);
});
