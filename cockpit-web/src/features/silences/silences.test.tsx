// @vitest-environment jsdom

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionGiver } from "@/api/role";
import type { Role, Silence } from "@/api/types";
import type { Socket } from "@/live/connection";
import { LiveProvider } from "@/live/hooks";
import { Live } from "@/live/live";
import { about, silenceOf, stateOf, windowsOf } from "./silence";
import SilencesPage from "./silences-page";

const NOW = Date.parse("2026-11-29T12:00:00Z");

function silence(name: string, spec: Partial<Silence["spec"]>): Silence {
  return {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Silence",
    metadata: { name },
    spec: { owner: "ada", reason: "new disks", ...spec },
  } as Silence;
}

test("a silence is pending, in force, recurring or expired by its times", () => {
  const state = (spec: Partial<Silence["spec"]>) => stateOf(silence("s", spec), NOW);
  const windows: Silence["spec"]["windows"] = [{ start: "02:00", end: "04:00" }];
  expect(state({ until: "2026-11-29T12:00:00Z" })).toBe("expired");
  expect(state({ until: "2026-11-29T12:00:01Z" })).toBe("active");
  expect(state({ from: "2026-11-29T12:00:01Z", until: "2026-11-29T13:00:00Z" })).toBe("pending");
  expect(state({ windows })).toBe("recurring");
  expect(state({ windows, until: "2026-11-29T11:00:00Z" })).toBe("expired");
});

test("what a silence is about and when is said in words", () => {
  expect(about(silence("s", {}))).toBe("every workload");
  expect(about(silence("s", { workloads: { names: ["web", "db"] } }))).toBe("web, db");
  expect(about(silence("s", { alertTypes: ["Down"], matchLabels: { team: "shop" } }))).toBe(
    "alerts Down, team=shop of every workload",
  );
  const windows: Silence["spec"]["windows"] = [
    { days: ["Sat", "Sun"], start: "02:00", end: "04:00" },
    { start: "22:00", end: "23:00" },
  ];
  expect(windowsOf(silence("s", { windows }))).toEqual([
    "Sat, Sun 02:00–04:00 UTC",
    "Every day 22:00–23:00 UTC",
  ]);
});

test("a requested silence names who asked, ends, and holds automation only where that was chosen", () => {
  const wish = { workload: "web", reason: "disks", seconds: 3_600, hold: false };
  expect(silenceOf(wish, "ada", NOW)).toMatchObject({
    metadata: { name: "web-1795953600" },
    spec: {
      workloads: { names: ["web"] },
      owner: "ada",
      until: "2026-11-29T13:00:00.000Z",
      automation: "Continue",
    },
  });
  expect(silenceOf({ ...wish, workload: "", hold: true }, "ada", NOW)).toMatchObject({
    spec: { workloads: {}, automation: "Hold" },
  });
});

const sent: { method: string; path: string; body: unknown }[] = [];
let items: Silence[] = [];

beforeEach(() => {
  sent.length = 0;
  // jsdom has no modal dialogs.
  HTMLDialogElement.prototype.showModal = function showModal() {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function close() {
    this.open = false;
  };
  vi.stubGlobal(
    "fetch",
    vi.fn(async (path: string, { method = "GET", body }: RequestInit = {}) => {
      if (body) sent.push({ method, path, body: JSON.parse(String(body)) });
      return Response.json(path.includes("/silences") ? { items } : { items: [] });
    }),
  );
});

afterEach(cleanup);

function stage(shown: Silence[], role: Role = "operator") {
  items = shown;
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } });
  const socket = { onmessage: null, onclose: null, send: () => undefined, close: () => undefined };
  const live = new Live({ queries, open: () => socket as unknown as Socket, schedule: (work) => work() });
  render(
    <QueryClientProvider client={queries}>
      <SessionGiver value={{ user: "ada", role }}>
        <LiveProvider live={live}>
          <SilencesPage />
        </LiveProvider>
      </SessionGiver>
    </QueryClientProvider>,
  );
}

test("those that run come first, with who, why and until when", async () => {
  stage([
    silence("old", { until: "2020-01-01T00:00:00Z" }),
    silence("disks", { until: "2099-01-01T00:00:00Z", workloads: { names: ["web"] }, automation: "Hold" }),
  ]);
  const list = within(await screen.findByRole("list", { name: "Silences" }));
  const [first, second] = list.getAllByRole("listitem");
  expect(first?.textContent).toContain("In force");
  expect(first?.textContent).toContain("new disks, by ada");
  expect(first?.textContent).toContain("Automation is held");
  expect(second?.textContent).toContain("Expired");
  expect(within(second as HTMLElement).queryByRole("button")).toBeNull();
});

test("a silence is made with a reason and ended now", async () => {
  const person = userEvent.setup();
  stage([silence("disks", { until: "2099-01-01T00:00:00Z" })]);
  await person.click(await screen.findByRole("button", { name: "New silence" }));
  const make = screen.getByRole("button", { name: "Silence" });
  expect(make.getAttribute("aria-disabled")).toBe("true");
  await person.type(screen.getByLabelText("Reason"), "new disks");
  await person.click(make);
  expect(sent[0]).toMatchObject({
    method: "POST",
    body: { kind: "Silence", spec: { owner: "ada", reason: "new disks", automation: "Continue" } },
  });
  await person.click(await screen.findByRole("button", { name: "End" }));
  await person.click(screen.getByRole("button", { name: "End silence" }));
  expect(sent[1]).toMatchObject({ method: "PATCH", body: { spec: { from: null } } });
  expect(sent[1]?.path).toContain("/silences/disks");
});

test("a viewer is shown why nothing can be silenced", async () => {
  stage([silence("disks", { until: "2099-01-01T00:00:00Z" })], "viewer");
  for (const name of ["New silence", "End"]) {
    const button = await screen.findByRole("button", { name });
    expect(button.getAttribute("aria-disabled")).toBe("true");
  }
});
