// @vitest-environment jsdom

import { cleanup, render, screen, within } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, test } from "vitest";
import type { Incident } from "@/api/types";
import type { JoinedAlert } from "./alerts";
import { AlertsPanel } from "./alerts-panel";
import { Row } from "./incidents";

afterEach(cleanup);

function alert(incidentId: string, more: Partial<JoinedAlert>): JoinedAlert {
  return { incidentId, fingerprint: incidentId, alertType: "SLOW", severity: "warning", ...more };
}

function incident(count: number, joined: JoinedAlert[], resolvedAt?: string): Incident {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Incident",
    metadata: { name: "inc-1", creationTimestamp: "2026-11-29T10:00:00Z" },
    spec: {
      alertType: "DOWN",
      workloadRef: "db",
      severity: "critical",
      count,
      source: { kind: "webhook", joined, ...(resolvedAt ? { resolvedAt } : {}) },
    },
  } as Incident;
}

const STORM = incident(
  40,
  [
    alert("a-1", { alertType: "<script>alert(1)</script>" }),
    alert("a-2", { resolvedAt: "2026-11-29T10:05:00Z" }),
    alert("d-1", { inhibited: "web", detector: "unhealthy" }),
    alert("d-2", { inhibited: "cart", releasedAt: "2026-11-29T10:06:00Z" }),
  ],
  "2026-11-29T10:07:00Z",
);

test("the alerts behind an incident show how each stands, and which are inhibited by it", () => {
  render(<AlertsPanel incident={STORM} />);
  const same = within(screen.getByRole("list", { name: "Of the same trouble" })).getAllByRole("listitem");
  expect(same.map((row) => row.textContent)).toEqual([
    expect.stringContaining("Fires"),
    expect.stringContaining("Over"),
  ]);
  const silenced = within(
    screen.getByRole("list", { name: "Inhibited: what they are about depends on this" }),
  ).getAllByRole("listitem");
  expect(silenced[0]?.textContent).toContain("on web");
  expect(silenced[0]?.textContent).toContain("measured by detector unhealthy");
  expect(silenced[1]?.textContent).toContain("Has an incident of its own");
  expect(screen.getByText(/its sender says that it is over/)).toBeTruthy();
  expect(document.querySelector("script")).toBeNull();
});

test("an alert that stands alone has no panel", () => {
  const { container } = render(<AlertsPanel incident={incident(1, [])} />);
  expect(container.textContent).toBe("");
});

test("a storm is one row with its count", () => {
  render(
    <MemoryRouter>
      <Row incident={STORM} />
    </MemoryRouter>,
  );
  expect(screen.getAllByRole("link")).toHaveLength(1);
  expect(screen.getByRole("link").textContent).toContain("40 alerts, 2 inhibited by it");
});
