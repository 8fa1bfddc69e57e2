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
  sessionStorage.clear();
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
    if (path === "/api/auth/once/redeem") known = String(options?.body).includes("c0de");
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

test("a link logs in, and leaves no code in the address", async () => {
  history.replaceState({}, "", "/login#once=c0de");
  render(<App />);
  expect(
    await screen.findByRole("heading", { level: 1, name: "Overview" }, { timeout: 10_000 }),
  ).toBeDefined();
  expect(location.href).not.toContain("c0de");
  expect(asked.filter((path) => path === "/api/auth/once/redeem")).toHaveLength(1);
});

test("a link replaces a session only when its user says so", async () => {
  known = true;
  sessionStorage.setItem("aegis-session", "c");
  history.replaceState({}, "", "/login#once=c0de");
  const user = userEvent.setup();
  render(<App />);
  expect(await screen.findByRole("heading", { name: "You are logged in as ada" })).toBeDefined();
  expect(location.href).not.toContain("c0de");
  await user.click(screen.getByRole("button", { name: "Stay ada" }));
  expect(
    await screen.findByRole("heading", { level: 1, name: "Overview" }, { timeout: 10_000 }),
  ).toBeDefined();
  expect(asked).not.toContain("/api/auth/once/redeem");
});
