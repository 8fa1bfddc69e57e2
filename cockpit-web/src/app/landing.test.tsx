// @vitest-environment jsdom

import { render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import { App } from "./app";

const asked: string[] = [];
let known = false;

beforeEach(() => {
  asked.length = 0;
  known = false;
  history.replaceState({}, "", "/");
  vi.stubGlobal(
    "WebSocket",
    class {
      close() {}
      send() {}
    },
  );
  vi.stubGlobal("fetch", async (path: string, options?: RequestInit) => {
    asked.push(path);
    if (path === "/api/readyz") return new Response("ok");
    if (path === "/api/auth/login") {
      known = String(options?.body).includes("right");
    }
    if (path.startsWith("/api/auth")) {
      const session = { user: "ada", role: "operator", csrfToken: "c", expiresAt: null };
      return known ? Response.json(session) : Response.json({}, { status: 401 });
    }
    return Response.json(/metrics|containers/.test(path) ? [] : { items: [], nodes: [], edges: [] });
  });
});

test("before login there is the product's name and its state, and nothing of the host is requested", async () => {
  render(<App />);
  expect(await screen.findByRole("heading", { name: "AegisOps" })).toBeDefined();
  expect(await screen.findByText("Running")).toBeDefined();
  expect(new Set(asked)).toEqual(new Set(["/api/auth/session", "/api/readyz"]));
});

test("a wrong token is refused with words, and the right one leads to where one wanted to go", async () => {
  history.replaceState({}, "", "/events");
  const user = userEvent.setup();
  render(<App />);
  const field = await screen.findByLabelText("Access token");
  await user.type(field, "wrong");
  await user.click(screen.getByRole("button", { name: "Log in" }));
  expect((await screen.findByRole("alert")).textContent).toContain("not known");
  await user.clear(field);
  await user.type(field, "right");
  await user.click(screen.getByRole("button", { name: "Log in" }));
  expect(await screen.findByRole("heading", { level: 1, name: "Events" }, { timeout: 10_000 })).toBeDefined();
  expect(location.href).not.toContain("right");
});
