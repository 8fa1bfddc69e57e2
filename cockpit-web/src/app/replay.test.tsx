// @vitest-environment jsdom
// The wire contract alone feeds the pages: lists answer nothing, and a recorded stream of every type of frame comes over
// the socket.

import { readFileSync } from "node:fs";
import { QueryClientProvider } from "@tanstack/react-query";
import { act, render, screen, within } from "@testing-library/react";
import { lazy, Suspense } from "react";
import { MemoryRouter, Route, Routes } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import { SessionGiver } from "@/api/role";
import type { Frame, Kind, ResourceFrame, Workload } from "@/api/types";
import { Overview } from "@/features/overview/overview";
import type { Socket } from "@/live/connection";
import { LiveProvider } from "@/live/hooks";
import { keys, Live } from "@/live/live";
import type { Objects } from "@/live/recent";
import { makeQueries } from "./app";

const recorded = readFileSync("test/recorded/stream.ndjson", "utf8").trim().split("\n");
const snapshot = readFileSync("test/recorded/snapshot.json", "utf8").trim();
const frames = recorded.map((line) => JSON.parse(line) as Frame);

const IncidentPage = lazy(() => import("@/features/incidents/incident-page"));
const Incidents = lazy(() => import("@/features/incidents/incidents"));
const WorkloadPage = lazy(() => import("@/features/workloads/workload-page"));
const LoadBalancers = lazy(() => import("@/features/load-balancer/load-balancers"));

beforeEach(() => {
  vi.stubGlobal(
    "fetch",
    vi.fn(async (path: string) =>
      Response.json(/metrics|containers/.test(path) ? [] : { items: [], nodes: [], edges: [] }),
    ),
  );
});

function stage(path: string, schedule: (work: () => void) => void = (work) => work()) {
  const queries = makeQueries();
  const socket: Pick<Socket, "onmessage" | "onclose"> = { onmessage: null, onclose: null };
  const live = new Live({
    queries,
    open: () => Object.assign(socket, { send: () => undefined, close: () => undefined }) as unknown as Socket,
    schedule,
  });
  render(
    <QueryClientProvider client={queries}>
      <MemoryRouter initialEntries={[path]}>
        <SessionGiver value={{ user: "ada", role: "viewer" }}>
          <LiveProvider live={live}>
            <Suspense fallback="loading">
              <Routes>
                <Route index element={<Overview />} />
                <Route path="incidents" element={<Incidents />} />
                <Route path="incidents/:name" element={<IncidentPage />} />
                <Route path="workloads/:name" element={<WorkloadPage />} />
                <Route path="load-balancers" element={<LoadBalancers />} />
              </Routes>
            </Suspense>
          </LiveProvider>
        </SessionGiver>
      </MemoryRouter>
    </QueryClientProvider>,
  );
  const say = (line: string) =>
    socket.onmessage?.call(socket as unknown as WebSocket, { data: line } as MessageEvent);
  // The query cache notifies its readers in a task of its own.
  const replay = (lines: readonly string[]) =>
    act(async () => {
      lines.forEach(say);
      await new Promise((done) => setTimeout(done));
    });
  return { queries, live, replay };
}

const ready = async (queries: ReturnType<typeof makeQueries>, kind: Kind = "Incident") =>
  vi.waitFor(() => expect(queries.getQueryData(keys.objects(kind))).toBeDefined(), { timeout: 15_000 });

const resolvedId = () => {
  const frame = frames.find((one) => one.type === "resolved" && one.incident_id?.includes("memory"));
  return frame?.incident_id ?? "";
};

test("the recording holds every type of frame that the server sends by itself", () => {
  const types = new Set(frames.map((frame) => frame.type));
  const wanted = [
    "incident.new",
    "status.update",
    "ai.thinking",
    "ai.stream",
    "ai.complete",
    "council.vote",
    "council.decision",
    "docker.action",
    "scale.event",
    "health.check",
    "resolved",
    "failed",
    "metrics",
    "container.list",
    "topology",
    "heartbeat",
    "reconcile",
    "resource",
  ];
  expect(wanted.filter((type) => !types.has(type as Frame["type"]))).toEqual([]);
});

test("an incident is shown from the alert to the proof", async () => {
  const { queries, replay } = stage(`/incidents/${resolvedId()}`);
  await ready(queries);
  await replay(recorded);
  expect(await screen.findByRole("heading", { level: 1, name: /Memory leak on buggy-app-v2/ })).toBeDefined();
  expect(screen.getAllByText("Resolved").length).toBeGreaterThan(0);
  expect(document.querySelectorAll("[data-seat] p").length).toBeGreaterThanOrEqual(3);
  const attempts = screen.getByRole("list", { name: "Probe attempts" });
  expect(within(attempts).getAllByRole("listitem").length).toBeGreaterThan(0);
  const stages = [...document.querySelectorAll("[data-stage]")].map((row) => row.getAttribute("data-stage"));
  for (const stage of ["RECEIVED", "ANALYSING", "COUNCIL_VOTE", "RESTARTED", "VERIFYING", "RESOLVED"]) {
    expect(stages).toContain(stage);
  }
  expect(screen.getByTestId("reasoning").textContent).toContain("So I propose RESTART");
});

test("reasoning grows chunk by chunk while it streams, and votes land one by one", async () => {
  const id = resolvedId();
  const { queries, replay } = stage(`/incidents/${id}`);
  await ready(queries);
  const until = (type: Frame["type"]) =>
    frames.findIndex((frame) => frame.type === type && frame.incident_id === id);
  const middle = Math.floor((until("ai.stream") + until("ai.complete")) / 2);
  const withoutComplete = recorded.slice(0, middle);
  await replay(withoutComplete);
  const partly = (await screen.findByTestId("reasoning")).textContent?.length ?? 0;
  await replay(recorded.slice(middle, until("ai.complete") + 1));
  expect(screen.getByTestId("reasoning").textContent?.length ?? 0).toBeGreaterThan(partly);
  const votes: number[] = [];
  const last = frames.findIndex((frame) => frame.type === "resolved" && frame.incident_id === id);
  for (let index = until("ai.complete") + 1; index <= last; index++) {
    await replay([recorded[index] ?? ""]);
    const landed = document.querySelectorAll("[data-seat].animate-rise").length;
    if (landed !== votes.at(-1)) votes.push(landed);
  }
  expect(votes).toEqual([0, 1, 2, 3]);
});

test("text that tries to be markup is shown as the text it is", async () => {
  const { queries, replay } = stage("/incidents/rec-up");
  await ready(queries);
  await replay(recorded);
  await screen.findByRole("heading", { level: 1, name: /Saturation/ });
  expect(document.body.textContent).toContain("<img src=x onerror=alert(1)>");
  expect(document.querySelector("img[src='x']")).toBeNull();
});

test("the overview counts, the workload and the load balancer follow", async () => {
  const { queries, replay } = stage("/");
  await ready(queries);
  await replay(recorded);
  expect(await screen.findByText("Healthy")).toBeDefined();
  const incidents = queries.getQueryData<Objects<"Incident">>(keys.objects("Incident"));
  expect(incidents?.size).toBe(4);
});

test("frames that arrive twice change nothing, and a list that answers late undoes no frame", async () => {
  const { queries, live, replay } = stage("/");
  await ready(queries);
  await replay(recorded);
  const { logged } = live;
  await replay(recorded.filter((_, index) => frames[index]?.type !== "heartbeat"));
  expect(live.logged).toBe(logged);
  const late = live.merge("Incident", []);
  expect(late.size).toBe(4);
});

test("a snapshot instead of a replay makes the pages ask again", async () => {
  const { queries, live, replay } = stage("/");
  await ready(queries);
  await replay(recorded.slice(0, 50));
  const asked = vi.mocked(fetch).mock.calls.length;
  const later = { ...(JSON.parse(snapshot) as Frame), seq: 100_000 };
  await replay([
    JSON.stringify({ ...later, type: "heartbeat", data: { status: "connected" } }),
    JSON.stringify(later),
  ]);
  expect(vi.mocked(fetch).mock.calls.length).toBeGreaterThan(asked);
  expect(live.log.some((entry) => entry.gap)).toBe(true);
  expect(queries.getQueryData(keys.topology)).toEqual(
    (JSON.parse(snapshot) as { data: { topology: unknown } }).data.topology,
  );
});

test("a workload shows what it needs, and what its containers looked like before they were restarted", async () => {
  const recording = frames.find((frame) => frame.type === "resource" && frame.data.kind === "Workload");
  const frame = structuredClone(recording) as ResourceFrame;
  const workload = frame.data.object as unknown as Workload;
  const trouble = "The probe has failed for 4 s";
  workload.status = {
    ...workload.status,
    dependencies: [
      { name: "db", workload: "db", trouble },
      { name: "cache", containers: ["cache"] },
    ],
    captures: [
      {
        because: "its probe has failed for 20 s",
        container: {
          name: "web-1",
          logTail: "<b>last words</b>",
          processes: ["7 /app"],
          filesystem: ["A /tmp/core"],
        },
        gaps: ["stats: the engine did not answer"],
      },
    ],
  } as Workload["status"];
  const { queries, replay } = stage(`/workloads/${workload.metadata.name}`);
  await ready(queries, "Workload");
  await replay([JSON.stringify({ ...frame, seq: 1 })]);
  const needs = await screen.findByRole("region", { name: "Needs" });
  expect(within(needs).getByText(trouble)).toBeDefined();
  expect(within(needs).getByRole("link", { name: "db" }).getAttribute("href")).toBe("/workloads/db");
  const before = screen.getByRole("region", { name: "Before restarts" });
  for (const words of ["7 /app", "A /tmp/core", "<b>last words</b>", /engine did not answer/]) {
    expect(within(before).getByText(words)).toBeDefined();
  }
});

test("a thousand frames that wait for one frame of the screen are published to the pages a few times, not a thousand", async () => {
  const works: (() => void)[] = [];
  const { live, replay } = stage("/", (work) => works.push(work));
  const workload = frames.find((frame) => frame.type === "resource" && frame.data.kind === "Workload");
  const flood = Array.from({ length: 1000 }, (_, n) => JSON.stringify({ ...workload, seq: 1 + n }));
  await replay(flood);
  let notified = 0;
  live.subscribe(() => notified++);
  await act(async () => {
    while (works.length > 0) works.shift()?.();
  });
  expect(live.logged).toBe(1000);
  expect(notified).toBeLessThanOrEqual(Math.ceil(1000 / 64));
});
