// @vitest-environment jsdom

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionGiver } from "@/api/role";
import type { AutomationView, Role } from "@/api/types";
import type { Socket } from "@/live/connection";
import { LiveProvider } from "@/live/hooks";
import { Live } from "@/live/live";
import { PauseBanner } from "./banner";
import { PauseControl } from "./dialogs";
import { inForce, pausedBy } from "./pause";

const PAUSED: AutomationView = {
  paused: { by: "ada", reason: "database migration", at: "2026-11-28T09:00:00Z" },
  workloads: {},
};
const FREE: AutomationView = { workloads: {} };

let seq = 0;
const asked: { path: string; body: unknown }[] = [];
let view: AutomationView = FREE;

beforeEach(() => {
  asked.length = 0;
  // jsdom has no modal dialogs.
  HTMLDialogElement.prototype.showModal = function showModal() {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function close() {
    this.open = false;
  };
  vi.stubGlobal(
    "fetch",
    vi.fn(async (path: string, { body }: RequestInit = {}) => {
      if (body) {
        asked.push({ path, body: JSON.parse(String(body)) });
        view = path.endsWith("/resume") ? FREE : PAUSED;
      }
      return Response.json(view);
    }),
  );
});

afterEach(cleanup);

function stage(shown: AutomationView, role: Role = "operator", workload?: string) {
  view = shown;
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } });
  const socket: Pick<Socket, "onmessage" | "onclose"> = { onmessage: null, onclose: null };
  const live = new Live({
    queries,
    open: () => Object.assign(socket, { send: () => undefined, close: () => undefined }) as unknown as Socket,
    schedule: (work) => work(),
  });
  render(
    <QueryClientProvider client={queries}>
      <SessionGiver value={{ user: "ada", role }}>
        <LiveProvider live={live}>
          <PauseBanner />
          <PauseControl workload={workload} />
        </LiveProvider>
      </SessionGiver>
    </QueryClientProvider>,
  );
  const say = (data: AutomationView) =>
    act(async () => {
      const frame = {
        seq: ++seq,
        type: "automation",
        incident_id: null,
        data,
        timestamp: "2026-11-28T09:00:00Z",
      };
      socket.onmessage?.call(socket as unknown as WebSocket, { data: JSON.stringify(frame) } as MessageEvent);
      await new Promise((done) => setTimeout(done));
    });
  return { say };
}

const banner = () => screen.queryByRole("complementary", { name: "Automation is paused" });

test("a pause is shown when a frame reports it, and is gone when one ends it", async () => {
  const { say } = stage(FREE);
  await screen.findByRole("button", { name: "Pause automation" });
  expect(banner()).toBeNull();
  await say(PAUSED);
  expect(banner()?.textContent).toContain("All automation is paused by ada");
  expect(banner()?.textContent).toContain("database migration. It waits until somebody resumes it.");
  await say(FREE);
  expect(banner()).toBeNull();
});

test("somebody who may pauses with a reason and an end, and resumes", async () => {
  const person = userEvent.setup();
  stage(FREE);
  await person.click(await screen.findByRole("button", { name: "Pause automation" }));
  const dialog = within(screen.getByRole("dialog", { name: "Pause all automation" }));
  await person.type(dialog.getByLabelText("Reason"), "database migration");
  await person.selectOptions(dialog.getByLabelText("For"), "1 hour");
  await person.click(dialog.getByRole("button", { name: "Pause automation" }));
  await vi.waitFor(() => expect(banner()).not.toBeNull());
  expect(asked).toEqual([
    { path: "/api/automation/pause", body: { reason: "database migration", seconds: 3600 } },
  ]);

  const here = within(screen.getByRole("complementary"));
  await person.click(here.getByRole("button", { name: "Resume automation" }));
  const ending = within(screen.getByRole("dialog", { name: "Resume all automation" }));
  await person.click(ending.getByRole("button", { name: "Resume automation" }));
  await vi.waitFor(() => expect(banner()).toBeNull());
  expect(asked[1]).toEqual({ path: "/api/automation/resume", body: { reason: "" } });
});

test("a user who may not is shown why, and sees the pause all the same", async () => {
  stage(PAUSED, "viewer");
  await vi.waitFor(() => expect(banner()).not.toBeNull());
  for (const button of screen.getAllByRole("button", { name: "Resume automation" })) {
    expect(button.getAttribute("aria-disabled")).toBe("true");
  }
});

test("one workload is paused and resumed on its own", async () => {
  const person = userEvent.setup();
  stage({ workloads: { web: { by: "ada" } } }, "admin", "web");
  await person.click(await screen.findByRole("button", { name: "Resume automation" }));
  const dialog = within(screen.getByRole("dialog", { name: "Resume automation for web" }));
  await person.click(dialog.getByRole("button", { name: "Resume automation" }));
  await screen.findByRole("button", { name: "Pause automation" });
  expect(asked).toEqual([{ path: "/api/automation/resume", body: { workload: "web", reason: "" } }]);
});

test("a pause ends at its time, and automation that paused itself is not somebody", () => {
  const now = Date.parse("2026-11-28T10:00:00Z");
  const pause = { by: "system:blast-radius", reason: "" };
  expect(inForce(undefined, now)).toBeUndefined();
  expect(inForce({ ...pause, until: "2026-11-28T09:59:59Z" }, now)).toBeUndefined();
  expect(inForce({ ...pause, until: "2026-11-28T10:00:01Z" }, now)).toBeDefined();
  expect(inForce({ ...pause, until: "tomorrow" }, now)).toBeDefined();
  expect(pausedBy(pause)).toBe("paused itself");
  expect(pausedBy({ by: "", reason: "" })).toBe("is paused");
});
