import { afterEach, expect, test, vi } from "vitest";
import { request, whenExpired } from "./request";
import { current, login } from "./session";

const session = { user: "ada", role: "operator", csrfToken: "c-1", expiresAt: null };

function answer(make: (path: string) => Response) {
  const fetched = vi.fn(async (path: string, _options?: RequestInit) => make(path));
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

afterEach(() => vi.unstubAllGlobals());

test("after a login every change carries the token against forged requests, and no read does", async () => {
  const fetched = answer(() => Response.json(session));
  expect(await login("secret")).toMatchObject({ user: "ada", role: "operator" });
  await request("/x");
  await request("/x", { method: "PATCH", body: {} });
  const header = (call: number) => new Headers(fetched.mock.calls[call]?.[1]?.headers).get("x-csrf-token");
  expect([header(1), header(2)]).toEqual([null, "c-1"]);
  expect(fetched.mock.calls.every(([path]) => !path.includes("secret"))).toBe(true);
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
