// @vitest-environment jsdom
// What the pages of detectors show of their objects, and that a frame changes it.

import { readFileSync } from "node:fs";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, within } from "@testing-library/react";
import { MemoryRouter, Route, Routes } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import { SessionGiver } from "@/api/role";
import type { Detector } from "@/api/types";
import type { Socket } from "@/live/connection";
import { LiveProvider } from "@/live/hooks";
import { Live } from "@/live/live";
import DetectorPage from "./detector-page";
import Detectors from "./detectors";
import { boundOf, SIGNALS, shownValue, signalOf, spanOf, thresholdOf } from "./signals";
import { byGravity, stateOf } from "./standing";

const row = (workload: string, condition: string, more: object = {}) => ({
  workload,
  firing: false,
  condition,
  message: `read of ${workload}`,
  ...more,
});

function detector(name: string, spec: object, status?: object): Detector {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Detector",
    metadata: { name, resourceVersion: "1", generation: 1 },
    spec: { alertType: name.toUpperCase(), clear: "2m", for: "1m", severity: "warning", ...spec },
    status: status as Detector["status"],
  };
}

const firing = row("shop", "True", {
  firing: true,
  value: 97.2,
  since: "2026-01-31T12:00:00Z",
  container: "shop-replica-1",
  incident: "shop-memory-1",
});

const OBJECTS = [
  detector("quiet", { signal: "Cpu", threshold: 50 }, { firing: 0, workloads: [row("shop", "False")] }),
  detector(
    "memory-high",
    { signal: "Memory" },
    { firing: 1, value: 97.2, workloads: [firing, row("api", "False")] },
  ),
  detector("waits", { signal: "Health" }, { firing: 0, workloads: [row("api", "True")] }),
  detector("blind", { signal: "Spin" }, { firing: 0, workloads: [row("api", "Unknown")] }),
  detector("new", { slo: { objective: 99.9 } }),
];

beforeEach(() => {
  vi.stubGlobal(
    "fetch",
    vi.fn(async (path: string) => {
      if (path.startsWith("/api/metrics/history")) return Response.json({ intervalSeconds: 3, series: [] });
      return Response.json({ items: path.includes("/detectors") ? OBJECTS : [] });
    }),
  );
});

function stage(path: string) {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } });
  const socket: Pick<Socket, "onmessage" | "onclose"> = { onmessage: null, onclose: null };
  const live = new Live({
    queries,
    open: () => Object.assign(socket, { send: () => undefined, close: () => undefined }) as unknown as Socket,
    schedule: (work) => work(),
  });
  render(
    <QueryClientProvider client={queries}>
      <MemoryRouter initialEntries={[path]}>
        <SessionGiver value={{ user: "ada", role: "viewer" }}>
          <LiveProvider live={live}>
            <Routes>
              <Route path="detectors" element={<Detectors />} />
              <Route path="detectors/:name" element={<DetectorPage />} />
            </Routes>
          </LiveProvider>
        </SessionGiver>
      </MemoryRouter>
    </QueryClientProvider>,
  );
  return (object: Detector, resourceVersion: string) =>
    act(async () => {
      const { name } = object.metadata;
      const data = { verb: "MODIFIED", kind: "Detector", name, object, resourceVersion };
      const frame = { seq: 1, type: "resource", incident_id: null, data, timestamp: "2026-01-31T12:00:00Z" };
      socket.onmessage?.call(socket as unknown as WebSocket, { data: JSON.stringify(frame) } as MessageEvent);
      await new Promise((done) => setTimeout(done));
    });
}

test("the default thresholds are the controller's", () => {
  const document = JSON.parse(readFileSync("src/api/openapi.json", "utf8")) as Record<string, unknown>;
  const own = Object.entries(SIGNALS).flatMap(([name, { threshold }]) =>
    threshold === undefined ? [] : [[name, threshold]],
  );
  expect(Object.fromEntries(own)).toEqual(document["x-default-thresholds"]);
});

test("a bound is said with its unit, and what has none says so", () => {
  const [cpu, memory, health, , slo] = OBJECTS.map(({ spec }) => spec);
  expect([cpu, memory, health, slo].map((spec) => spec && boundOf(spec))).toEqual([
    "≥ 50 % of a core",
    "≥ 85 % of the limit",
    undefined,
    "≥ 14.4 × over 1h and 5m, or ≥ 6 × over 6h and 30m",
  ]);
  const leak = { signal: "MemoryGrowth", threshold: 20, alertType: "x" } as const;
  expect(boundOf(leak)).toBe("within 20 min");
  expect(shownValue(leak, 12.34)).toBe("12 min");
  expect(shownValue({ signal: "CpuAnomaly", alertType: "x" }, 2.13, true)).toBe("2.1 ×");
  expect(thresholdOf({ signal: "Memory", alertType: "x" })).toBe(84.5);
  expect(signalOf({ signal: "LogPattern", pattern: "panic", alertType: "x" })).toMatch(/match panic$/);
  expect(["0ms", undefined, "90s"].map(spanOf)).toEqual([undefined, undefined, "90s"]);
});

test("a detector stands as its gravest workload does, and what fires comes first", () => {
  const order = [...OBJECTS].sort(byGravity).map((one) => [one.metadata.name, stateOf(one)]);
  expect(order).toEqual([
    ["memory-high", "firing"],
    ["waits", "pending"],
    ["blind", "unmeasured"],
    ["new", "unmeasured"],
    ["quiet", "quiet"],
  ]);
});

test("the list says for whom it fires, with the value and the incident, and follows the frames", async () => {
  const say = stage("/detectors");
  const list = await screen.findByRole("list", { name: "Detectors" });
  const holds = within(list).getByRole("list", { name: "Where memory-high holds" });
  expect(within(holds).getByText("97 % of the limit")).toBeDefined();
  expect(within(holds).getByRole("link", { name: "Incident shop-memory-1" }).getAttribute("href")).toBe(
    "/incidents/shop-memory-1",
  );
  expect(within(holds).getByText(/shop-replica-1 read of shop/)).toBeDefined();
  expect(screen.getByRole("button", { name: "Firing 1" })).toBeDefined();
  const over = detector(
    "memory-high",
    { signal: "Memory" },
    { firing: 0, workloads: [row("shop", "False")] },
  );
  over.metadata.resourceVersion = "7";
  await say(over, "7");
  expect(screen.getByRole("button", { name: "Firing 0" })).toBeDefined();
  expect(within(list).queryByRole("list", { name: "Where memory-high holds" })).toBeNull();
});

test("the page has a row a workload, the condition, and the chart in words", async () => {
  stage("/detectors/memory-high");
  expect(await screen.findByRole("heading", { level: 1, name: /memory-high/ })).toBeDefined();
  const rows = screen.getByRole("list", { name: "Workloads" });
  expect(within(rows).getAllByRole("listitem").length).toBe(2);
  expect(screen.getByText("≥ 85 % of the limit")).toBeDefined();
  expect(screen.getByText("the default of the signal")).toBeDefined();
  const chart = await screen.findByRole("img", {
    name: /^Memory, of its limit: shop-replica-1 not measured/,
  });
  expect(chart.getAttribute("aria-label")).toContain("threshold 85 % of the limit");
});

test("where there is no such detector the page leads to those there are", async () => {
  stage("/detectors/none");
  expect(await screen.findByRole("link", { name: "See those there are" })).toBeDefined();
});
