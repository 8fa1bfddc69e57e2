// @vitest-environment jsdom

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { MemoryRouter } from "react-router";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SessionGiver } from "@/api/role";
import type { NotificationList, Role } from "@/api/types";
import NotificationsPage from "./notifications-page";

const counts = { waiting: 0, sent: 3, failures: 1, dropped: 1, folded: 7 };
const LIST: NotificationList = {
  destinations: [
    { name: "slack-app", stopped: "invalid_auth", ...counts },
    { name: "email", ...counts },
  ],
  deliveries: [
    {
      at: "2026-11-28T09:00:00Z",
      destination: "slack-app",
      incident: "inc-a",
      about: "FAILED",
      outcome: "Dropped",
      message: "invalid_auth",
    },
  ],
};

const posted: string[] = [];
let list: NotificationList = LIST;

beforeEach(() => {
  posted.length = 0;
  list = LIST;
  vi.stubGlobal(
    "fetch",
    vi.fn(async (path: string, { method }: RequestInit = {}) => {
      if (method !== "POST") return Response.json(list);
      posted.push(path);
      return Response.json({ results: [{ destination: "email", error: "SMTP 535" }] });
    }),
  );
});

afterEach(cleanup);

function stage(role: Role = "operator") {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  render(
    <QueryClientProvider client={queries}>
      <SessionGiver value={{ user: "ada", role }}>
        <MemoryRouter>
          <NotificationsPage />
        </MemoryRouter>
      </SessionGiver>
    </QueryClientProvider>,
  );
}

test("destinations show whether they work, and what was given up leads to its incident", async () => {
  stage();
  const destinations = within(await screen.findByRole("list", { name: "Destinations" }));
  const [app, email] = destinations.getAllByRole("listitem");
  expect(app?.textContent).toContain("Stopped: invalid_auth");
  expect(email?.textContent).toContain("Active");
  expect(email?.textContent).toContain("7 folded");
  const latest = within(screen.getByRole("list", { name: "Latest deliveries" }));
  expect(latest.getByRole("listitem").textContent).toContain("Dropped: invalid_auth");
  expect(latest.getByRole("link", { name: "inc-a" }).getAttribute("href")).toBe("/incidents/inc-a");
});

test("a test message says whether it was taken", async () => {
  const person = userEvent.setup();
  stage();
  const [, email] = await screen.findAllByRole("button", { name: "Send a test" });
  if (email) await person.click(email);
  await screen.findByText("Not taken: SMTP 535");
  expect(posted).toEqual(["/api/notifications/test?destination=email"]);
});

test("a viewer is shown why no test can be sent", async () => {
  stage("viewer");
  for (const button of await screen.findAllByRole("button", { name: "Send a test" })) {
    expect(button.getAttribute("aria-disabled")).toBe("true");
  }
});

test("without a destination the page says where they are configured", async () => {
  list = { destinations: [], deliveries: [] };
  stage();
  await screen.findByText("No destination is configured");
});
