// @vitest-environment jsdom
// What the page of a load balancer shows of its requests.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { ConnectionsPanel, Traffic } from "./traffic";

const METRICS = {
  name: "lb",
  countedSince: "2026-01-31T12:00:00Z",
  overSeconds: 60,
  connections: {
    t: "2026-01-31T12:00:00Z",
    active: 9,
    reading: 1,
    writing: 2,
    waiting: 6,
    accepted: 100,
    handled: 99,
    requests: 1000,
  },
  upstreams: [{ upstream: "web", rates: { requestsPerSecond: 10.5 }, totals: {} }],
  servers: [
    {
      upstream: "web",
      container: "web-1",
      address: "10.0.0.2:80",
      inRotation: true,
      rates: {
        requestsPerSecond: 10,
        errorsPerSecond: 0.5,
        errorPercent: 5,
        cancelledPerSecond: 0.25,
        p95Ms: 80,
        inFlight: 0.31,
      },
      totals: {},
    },
  ],
};

let answer: () => Response;

beforeEach(() => {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => answer()),
  );
});

function stage() {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={queries}>
      <Traffic name="lb" />
      <ConnectionsPanel name="lb" />
    </QueryClientProvider>,
  );
}

test("each server has its rates, and nginx its connections", async () => {
  answer = () => Response.json([METRICS]);
  stage();
  const table = await screen.findByRole("table", { name: "Requests by server" });
  const row = within(table).getByRole("row", { name: /web-1/ });
  const cells = within(row)
    .getAllByRole("cell")
    .map((cell) => cell.textContent);
  expect(cells).toEqual(["10/s", "0.5/s (5 %)", "0.25/s", "80 ms", "0.3"]);
  expect(screen.getByText("100, 1 closed at once")).toBeTruthy();
});

test("what is not counted or not offered says so", async () => {
  answer = () => Response.json([{ ...METRICS, countedSince: undefined, connections: undefined }]);
  stage();
  expect(await screen.findByText("Not counted")).toBeTruthy();
  expect(screen.getByText("Not known")).toBeTruthy();
  expect(screen.queryByRole("table")).toBeNull();
});

test("of an older controller nothing is claimed", async () => {
  answer = () => Response.json({ detail: "Not Found" }, { status: 404 });
  stage();
  expect(await screen.findByText("This controller does not count requests by server")).toBeTruthy();
});
