// @vitest-environment jsdom

import { afterEach, expect, test, vi } from "vitest";
import { request, socketProtocols, whenExpired } from "./request";
import { share } from "./secret";
import { current, login, redeem } from "./session";

const session = { user: "ada", role: "operator", csrfToken: "c-1", expiresAt: null };

function answer(make: (path: string) => Response) {
  const fetched = vi.fn(async (path: string, _options?: RequestInit) => make(path));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

afterEach(() => {
  vi.unstubAllGlobals();
  sessionStorage.clear();
});

const secrets = (fetched: ReturnType<typeof answer>) =>
  fetched.mock.calls.map(([, options]) => new Headers(options?.headers).get("x-csrf-token"));

test("after a login every request carries the session's secret, and so does the live connection", async () => {
  const fetched = answer(() => Response.json(session));
  expect(await login("secret")).toMatchObject({ user: "ada", role: "operator" });
  await request("/x");
  await request("/x", { method: "PATCH", body: {} });
  expect(secrets(fetched).slice(1)).toEqual(["c-1", "c-1"]);
  expect(socketProtocols()).toEqual(["aegis.v1", "aegis.session.c-1"]);
  expect(fetched.mock.calls.every(([path]) => !path.includes("secret"))).toBe(true);
});

test("a reload goes on with the secret of this tab, and a session that is over leaves none behind", async () => {
  answer(() => Response.json(session));
  await login("secret");
  const fetched = answer(() => Response.json({ ...session, csrfToken: null }));
  expect(await current()).toMatchObject({ user: "ada" });
  expect(secrets(fetched)).toEqual(["c-1"]);
  answer(() => Response.json({}, { status: 401 }));
  expect(await current()).toBeUndefined();
  expect(sessionStorage.length).toBe(0);
  expect(socketProtocols()).toEqual(["aegis.v1"]);
});

test("a second tab is given the secret by the first, and one that finds none asks without", async () => {
  const fetched = answer(() => Response.json({ ...session, csrfToken: null }));
  const first = new BroadcastChannel("aegis-session");
  first.onmessage = ({ data }) =>
    data.type === "wanted" && first.postMessage({ type: "given", secret: "c-2" });
  expect(await current()).toMatchObject({ user: "ada" });
  first.close();
  expect(secrets(fetched)).toEqual(["c-2"]);
  sessionStorage.clear();
  await current();
  expect(secrets(fetched)).toEqual(["c-2", null]);
});

test("a tab that has the secret answers one that wants it, and one that has none does not", async () => {
  const stop = share();
  const other = new BroadcastChannel("aegis-session");
  const given: unknown[] = [];
  const heard = new Promise<void>((resolve) => {
    other.onmessage = ({ data }) => {
      given.push(data);
      resolve();
    };
  });
  sessionStorage.setItem("aegis-session", "c-3");
  other.postMessage({ type: "wanted" });
  await heard;
  expect(given).toEqual([{ type: "given", secret: "c-3" }]);
  other.close();
  stop();
});

test("a link's code is traded for a session, and a spent one is refused with what to do", async () => {
  const fetched = answer(() => Response.json(session));
  expect(await redeem("c0de")).toMatchObject({ user: "ada" });
  expect(fetched.mock.calls[0]?.[0]).toBe("/api/auth/once/redeem");
  answer(() => Response.json({}, { status: 401 }));
  await expect(redeem("c0de")).rejects.toThrow("used or has expired");
});

test("no user is logged in where the server says so, and too many tries are reported with the time to wait", async () => {
  answer(() => Response.json({}, { status: 401 }));
  expect(await current()).toBeUndefined();
  await expect(login("x")).rejects.toThrow("not known");
  answer(() => Response.json({}, { status: 429, headers: { "retry-after": "7" } }));
  await expect(login("x")).rejects.toThrow("in 7 s");
});

test("a refusal is reported in the server's words, with the fields it names", async () => {
  const details = { causes: [{ field: "spec.replicas", message: "too many" }] };
  answer(() =>
    Response.json({ code: 422, message: "Workload is invalid", reason: "Invalid", details }, { status: 422 }),
  );
  await expect(request("/x")).rejects.toMatchObject({
    code: 422,
    message: "Workload is invalid",
    causes: details.causes,
  });
});

test("a session that has ended is noticed at the next request", async () => {
  const expired = vi.fn();
  whenExpired(expired);
  answer(() => Response.json({}, { status: 401 }));
  await expect(request("/x")).rejects.toMatchObject({ code: 401 });
  expect(expired).toHaveBeenCalledOnce();
});

test("a login while the page still asks who it was is not undone by the answer", async () => {
  let late: (response: Response) => void = () => undefined;
  const asked = new Promise<Response>((resolve) => {
    late = resolve;
  });
  const fetched = vi.fn((path: string, _options?: RequestInit) =>
    path === "/api/auth/session"
      ? asked
      : Promise.resolve(Response.json({ ...session, user: "ada", csrfToken: "c-4" })),
  );
  vi.stubGlobal("fetch", fetched);
  sessionStorage.setItem("aegis-session", "of before");
  const before = current();
  await login("secret");
  late(Response.json({ user: "system:anonymous", role: "viewer", expiresAt: null }));
  expect(await before).toMatchObject({ user: "ada" });
  expect(sessionStorage.getItem("aegis-session")).toBe("c-4");
  expect(socketProtocols()).toEqual(["aegis.v1", "aegis.session.c-4"]);
});
