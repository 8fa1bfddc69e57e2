// @vitest-environment jsdom
// What the page of a workload shows of autoscaling: target, current, desired, windows, and why; and of its requests.

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import type { Workload } from "@/api/types";
import { AutoscalePanel, RequestsPanel } from "./autoscale-panel";

type Spec = NonNullable<Workload["spec"]["autoscale"]>;
type Status = NonNullable<NonNullable<Workload["status"]>["autoscale"]>;

const SPEC: Spec = {
  min: 2,
  max: 10,
  targets: [
    { metric: "RequestsPerSecond", value: 40 },
    { metric: "Cpu", percent: 60 },
  ],
  scaleUpWindow: "10s",
  scaleDownWindow: "5m",
};

const STATUS: Status = {
  current: 4,
  desired: 4,
  wanted: 6,
  min: 2,
  max: 10,
  serving: 3,
  decision: "Stabilizing",
  message: "RequestsPerSecond 230, of 40 a replica needs 6; waits until that has held for scaleUpWindow, 10s",
  since: "2026-01-31T12:00:00Z",
  lowestInWindow: 4,
  highestInWindow: 7,
  targets: [
    { metric: "RequestsPerSecond", target: 40, current: 230, desired: 6, message: "needs 6" },
    { metric: "Cpu", target: 60, current: 55.2, desired: 4, message: "" },
  ],
};

function workload(spec: Partial<Spec> | undefined, status: Partial<Status> | undefined): Workload {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Workload",
    metadata: { name: "shop" },
    spec: { template: { image: "shop:3" }, replicas: 4, ...(spec && { autoscale: { ...SPEC, ...spec } }) },
    status: status && { autoscale: { ...STATUS, ...status } },
  } as Workload;
}

function fact(name: string) {
  const term = screen.getByText(name, { selector: "dt" });
  return term.nextElementSibling?.textContent;
}

function targets() {
  return within(screen.getByRole("list", { name: "Targets" }))
    .getAllByRole("listitem")
    .map((item) => item.textContent);
}

test("target, current, desired, windows and why are shown", () => {
  const { container } = render(<AutoscalePanel workload={workload({}, {})} />);
  expect(container.textContent).toContain(
    ": RequestsPerSecond 230, of 40 a replica needs 6; waits until that has held for scaleUpWindow, 10s",
  );
  expect(fact("Replicas")).toBe("4 current, 3 serving, 6 wanted, 4 desired");
  expect(fact("Bounds")).toBe("2 to 10");
  expect(fact("Windows")).toBe("out 10s (lowest answer 4), in 5m (highest answer 7)");
  expect(targets()).toEqual(["RequestsPerSecond230 of 40needs 6", "Cpu55.2 of 60needs 4"]);
  expect(screen.queryByText("Paused", { selector: "dt" })).toBeNull();
  expect(screen.queryByText("Held for a person until", { selector: "dt" })).toBeNull();
});

test("defaults, the schedule, a paused direction and a person's hold are said", () => {
  const spec = {
    scaleUpWindow: undefined,
    scaleDownWindow: undefined,
    scaleDown: { selectPolicy: "Disabled" },
  } as Partial<Spec>;
  const status = {
    min: 5,
    manualUntil: "2026-01-31T12:10:00Z",
    lowestInWindow: undefined,
    highestInWindow: undefined,
  };
  render(<AutoscalePanel workload={workload(spec, status)} />);
  expect(fact("Bounds")).toBe("5 to 10, by the schedule");
  expect(fact("Windows")).toBe("out 0s, in 5m");
  expect(fact("Paused")).toBe("scaling in");
  expect(fact("Held for a person until")).not.toBe("");
});

test("a log that cannot be read is said with the target that needs it", () => {
  const why = "RequestsPerSecond cannot be measured: the log of load balancer lb cannot be read";
  const status = {
    wanted: undefined,
    decision: "MetricUnavailable",
    message: why,
    targets: [{ metric: "RequestsPerSecond", target: 40, message: why, lostSince: "2026-01-31T12:00:00Z" }],
  } as Partial<Status>;
  render(<AutoscalePanel workload={workload({}, status)} />);
  expect(fact("Replicas")).toBe("4 current, 3 serving, unknown wanted, 4 desired");
  const [row] = targets();
  expect(row).toContain("– of 40no answer");
  expect(row).toContain(`${why}, since`);
});

test("before the first pass nothing is claimed, and without spec.autoscale there is no panel", () => {
  const { rerender, container } = render(<AutoscalePanel workload={workload({}, undefined)} />);
  expect(screen.getByText("Nothing was measured yet.")).toBeTruthy();
  rerender(<AutoscalePanel workload={workload(undefined, {})} />);
  expect(container.textContent).toBe("");
});

let answer: () => Response;

beforeEach(() => {
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => answer()),
  );
});

function requests() {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={queries}>
      <RequestsPanel name="shop" />
      <p>{"the rest of the page"}</p>
    </QueryClientProvider>,
  );
  return queries;
}

const RATES = {
  requestsPerSecond: 230.04,
  errorPercent: 1.26,
  p50Ms: 12.4,
  p95Ms: 80,
  p99Ms: null,
  inFlight: 3.21,
};

test("rate, errors, duration and requests in flight are of this workload", async () => {
  const other = { workload: "other", overSeconds: 60, rates: { requestsPerSecond: 1 }, totals: {} };
  answer = () => Response.json([other, { workload: "shop", overSeconds: 60, rates: RATES, totals: {} }]);
  requests();
  expect(await screen.findByText("230.0 a second")).toBeTruthy();
  expect(fact("Errors")).toBe("1.3 % 5xx");
  expect(fact("Duration")).toBe("12 ms half, 80 ms 95 of 100, – 99 of 100");
  expect(fact("In flight")).toBe("3.2");
});

test("where nothing was answered no share of errors is claimed", async () => {
  answer = () => Response.json([{ workload: "shop", overSeconds: 60, rates: {}, totals: {} }]);
  requests();
  expect(await screen.findByText("no answers")).toBeTruthy();
  expect(fact("Rate")).toBe("0.0 a second");
  expect(fact("Duration")).toBe("– half, – 95 of 100, – 99 of 100");
});

test("of requests that are not counted, as where the log cannot be read, nothing is shown", async () => {
  for (const nothing of [
    () => Response.json([{ workload: "other", overSeconds: 60, rates: RATES, totals: {} }]),
    () => Response.json({ detail: "Not Found" }, { status: 404 }),
  ]) {
    answer = nothing;
    const queries = requests();
    await vi.waitFor(() => expect(queries.isFetching()).toBe(0));
    expect(screen.queryByText("Rate", { selector: "dt" })).toBeNull();
  }
});
