// @vitest-environment jsdom

import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, test } from "vitest";
import type { Incident } from "@/api/types";
import { Row } from "./incidents";
import { type SilencedBy, SilencedNote } from "./silenced";

afterEach(cleanup);

function incident(silenced?: Partial<SilencedBy>, finishedAt?: string): Incident {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Incident",
    metadata: { name: "inc-1", creationTimestamp: "2026-11-29T10:00:00Z" },
    spec: { alertType: "DOWN", workloadRef: "db", severity: "critical" },
    status: {
      phase: finishedAt ? "RESOLVED" : "RECEIVED",
      ...(finishedAt ? { finishedAt } : {}),
      ...(silenced
        ? {
            silenced: {
              silence: "disks",
              owner: "ada",
              reason: "new disks",
              since: "2026-11-29T10:00:00Z",
              ...silenced,
            },
          }
        : {}),
    },
  } as Incident;
}

function show(node: React.ReactNode) {
  return render(<MemoryRouter>{node}</MemoryRouter>);
}

test("an incident under a silence is marked in the list, with whose it is, why and until when", () => {
  show(<Row incident={incident({ until: "2026-11-29T13:00:00Z" })} />);
  const row = screen.getByRole("link");
  expect(row.textContent).toContain("Silenced by ada");
  const mark = screen.getByTitle(/silence disks of ada until .*: new disks/);
  expect(row.contains(mark)).toBe(true);
});

test("an incident that no silence is about has no mark", () => {
  show(<Row incident={incident()} />);
  expect(screen.getByRole("link").textContent).not.toContain("Silenced");
  cleanup();
  const { container } = show(<SilencedNote incident={incident()} />);
  expect(container.textContent).toBe("");
});

test("the page names the silence, its owner, reason and expiry, and that it ended so", () => {
  show(<SilencedNote incident={incident({ until: "2026-11-29T13:00:00Z" })} />);
  const note = screen.getByRole("region", { name: "Silenced" });
  for (const words of ["silence disks of ada, new disks", "expires"])
    expect(note.textContent).toContain(words);
  expect(screen.getByRole("link", { name: "disks" }).getAttribute("href")).toBe("/silences");
  cleanup();
  show(<SilencedNote incident={incident({}, "2026-11-29T11:00:00Z")} />);
  const ended = screen.getByRole("region", { name: "Silenced" }).textContent;
  expect(ended).toContain("Ended silenced");
  expect(ended).toContain("in its weekly windows");
});

test("what people wrote into a silence is text", () => {
  const hostile = incident({
    owner: "<b>eve</b>",
    reason: "<script>alert(1)</script>",
    silence: "<img src=x>",
  });
  show(
    <>
      <Row incident={hostile} />
      <SilencedNote incident={hostile} />
    </>,
  );
  expect(document.querySelector("script, img, b")).toBeNull();
  expect(screen.getByRole("region", { name: "Silenced" }).textContent).toContain("<script>alert(1)</script>");
});
