// Who is logged in. The token goes to the server once and is answered with a cookie that scripts cannot read, and with a
// secret that no other origin can: only both together are a session.

import { ApiError, request, setCredentials } from "./request";
import { forget, fromAnotherTab, keep, kept } from "./secret";
import type { Session } from "./types";

/** Who a server that lets everybody in takes them for. */
export const ANONYMOUS = "system:anonymous";

/** What became of the newest login or logout of this page: an answer about what was before it is stale. */
let newest: { session: Session | undefined } = { session: undefined };

/** The session that the browser has; none when the server does not know it. */
export async function current(): Promise<Session | undefined> {
  const begun = newest;
  const secret = kept() ?? (await fromAnotherTab());
  if (begun !== newest) return newest.session;
  setCredentials({ secret });
  try {
    const session = await request<Session>("/auth/session");
    if (begun !== newest) return newest.session;
    if (session.user === ANONYMOUS) left();
    else if (secret) keep(secret);
    return session;
  } catch (error) {
    if (begun !== newest) return newest.session;
    if (!(error instanceof ApiError && error.code === 401)) throw error;
    left();
    return undefined;
  }
}

export async function login(token: string): Promise<Session> {
  try {
    return entered(await request<Session>("/auth/login", { method: "POST", body: { token } }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw refused(error, "This token is not known here. `make token` prints the administrator's.");
  }
}

/** Trades the code of a link for a session. */
export async function redeem(code: string): Promise<Session> {
  try {
    return entered(await request<Session>("/auth/once/redeem", { method: "POST", body: { code } }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw refused(error, "This link has been used or has expired. `aegisctl token once` makes another.");
  }
}

export async function logout(): Promise<void> {
  try {
    await request<void>("/auth/logout", { method: "POST" });
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 401)) throw error;
  } finally {
    newest = { session: undefined };
    left();
  }
}

function entered(session: Session): Session {
  const secret = session.csrfToken ?? undefined;
  newest = { session };
  setCredentials({ secret });
  if (secret) keep(secret);
  return session;
}

function left(): void {
  setCredentials({});
  forget();
}

function refused(error: ApiError, unknown: string): ApiError {
  if (error.code === 429) {
    const wait = error.retryAfterSeconds;
    return new ApiError(429, `Too many attempts. Try again ${wait ? `in ${wait} s` : "in a moment"}.`);
  }
  return error.code === 401 ? new ApiError(401, unknown) : error;
}
