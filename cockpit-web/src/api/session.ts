// Who is logged in. The token goes to the server once and is answered with a cookie that scripts cannot read; what the
// page keeps is the name, the role and the token against forged requests.

import { ApiError, request, setCredentials } from "./request";
import type { Session } from "./types";

/** Who a server that lets everybody in takes them for. */
export const ANONYMOUS = "system:anonymous";

/** The session that the browser has; none when the server does not know it. */
export async function current(): Promise<Session | undefined> {
  try {
    return entered(await request<Session>("/auth/session"));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === 401) return undefined;
    throw error;
  }
}

export async function login(token: string): Promise<Session> {
  try {
    return entered(await request<Session>("/auth/login", { method: "POST", body: { token } }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw refused(error);
  }
}

export async function logout(): Promise<void> {
  try {
    await request<void>("/auth/logout", { method: "POST" });
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 401)) throw error;
  } finally {
    setCredentials({});
  }
}

function entered(session: Session): Session {
  setCredentials({ csrfToken: session.csrfToken ?? undefined });
  return session;
}

function refused(error: ApiError): ApiError {
  if (error.code === 429) {
    const wait = error.retryAfterSeconds;
    return new ApiError(429, `Too many attempts. Try again ${wait ? `in ${wait} s` : "in a moment"}.`);
  }
  if (error.code === 401) {
    return new ApiError(401, "This token is not known here. `make token` prints the administrator's.");
  }
  return error;
}
