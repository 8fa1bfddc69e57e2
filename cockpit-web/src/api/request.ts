// The one place that calls fetch. Adds what the session requires; turns every refusal into an error that says what
// happened in the server's words.

import type { Failure } from "./types";

export type Cause = { field: string; message: string };

export class ApiError extends Error {
  readonly code: number;
  readonly causes: readonly Cause[];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: number, message: string, causes: readonly Cause[] = [], retryAfterSeconds?: number) {
    super(message);
    this.name = "ApiError";
    this.code = code;
    this.causes = causes;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

type Credentials = { secret?: string };

let credentials: Credentials = {};
let onExpired: () => void = () => undefined;

export function setCredentials(next: Credentials): void {
  credentials = next;
}

/** What a WebSocket offers as sub-protocols: it can send no header, and the first is the one that is spoken. */
export function socketProtocols(): string[] {
  const { secret } = credentials;
  return secret ? ["aegis.v1", `aegis.session.${secret}`] : ["aegis.v1"];
}

/** Called when the server no longer knows who we are. */
export function whenExpired(handler: () => void): void {
  onExpired = handler;
}

type Options = {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
};

/** Asks the controller; `path` is its own, such as `/metrics`. */
export async function request<T>(path: string, options: Options = {}): Promise<T> {
  const { method = "GET", body, contentType = "application/json", signal } = options;
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", contentType);
  if (credentials.secret) headers.set("x-csrf-token", credentials.secret);
  const text = typeof body === "string" ? body : JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : text,
      signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(
      0,
      "The cockpit's server does not answer. Check the network, and that aegis-cockpit runs.",
    );
  }
  if (!response.ok) {
    if (response.status === 401 && !path.startsWith("/auth/")) onExpired();
    throw await refusal(response);
  }
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  const wait = Number(response.headers.get("retry-after"));
  const text = await response.text();
  const failure = parsed(text);
  const causes = (failure?.details?.causes ?? []).map(({ field = "", message }) => ({ field, message }));
  return new ApiError(status, words(status, failure), causes, wait > 0 ? wait : undefined);
}

function words(status: number, failure: (Partial<Failure> & { detail?: unknown }) | undefined): string {
  if (failure?.message) return failure.message;
  if (typeof failure?.detail === "string") return failure.detail;
  if (status === 502 || status === 503 || status === 504) {
    return "The controller does not answer. It may be restarting; this page tries again by itself.";
  }
  return `The server answered ${status}.`;
}

function parsed(text: string): (Partial<Failure> & { detail?: unknown }) | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
