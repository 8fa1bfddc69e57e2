// Before login: the product's name and its state, and nothing else about this host.

import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useCallback, useEffect, useState } from "react";
import { Navigate, useLocation, useNavigate } from "react-router";
import { ANONYMOUS } from "@/api/session";
import { Action } from "@/ui/action";
import { TextInput } from "@/ui/field";
import { StateChip } from "@/ui/state-chip";
import { useSessionState } from "./session-context";

type Probe = "ready" | "up" | "away";

async function probe(): Promise<Probe> {
  const ok = async (path: string) => {
    try {
      return (await fetch(`/api${path}`)).ok;
    } catch {
      return false;
    }
  };
  if (await ok("/readyz")) return "ready";
  return (await ok("/healthz")) ? "up" : "away";
}

function useProbe() {
  return useQuery({ queryKey: ["probe"], queryFn: probe, refetchInterval: 3_000 });
}

function ProductState() {
  const { data } = useProbe();
  if (!data) return <StateChip tone="idle" word="Asking the controller" icon="spin" busy />;
  if (data === "ready") return <StateChip tone="ok" word="Running" />;
  if (data === "up") return <StateChip tone="warn" word="Running, without its Docker engine" />;
  return <StateChip tone="bad" word="The controller does not answer" />;
}

export function Landing() {
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-6 p-6">
      <img src="/icon.svg" alt="" className="size-16" />
      <h1 className="font-semibold text-2xl tracking-tight">AegisOps</h1>
      <ProductState />
      <LoginLink />
    </main>
  );
}

function LoginLink() {
  const navigate = useNavigate();
  return (
    <Action look="primary" onClick={() => navigate("/login")}>
      Log in
    </Action>
  );
}

/** Where to go after login: only pages of ours. */
function safeNext(search: string): string {
  const next = new URLSearchParams(search).get("next") ?? "/";
  return next.startsWith("/") && !next.startsWith("//") && !next.startsWith("/\\") ? next : "/";
}

/** The code of a one-time link, which the address has behind its `#`: there it reaches no server. Taken out at once. */
function useLinkCode() {
  const { hash, pathname, search } = useLocation();
  const navigate = useNavigate();
  const [code, setCode] = useState(() => linkCode(hash));
  useEffect(() => {
    if (!linkCode(hash)) return;
    setCode(linkCode(hash));
    navigate(pathname + search, { replace: true });
  }, [hash, pathname, search, navigate]);
  return [code, useCallback(() => setCode(undefined), [])] as const;
}

function linkCode(hash: string): string | undefined {
  return new URLSearchParams(hash.replace(/^#/, "")).get("once") ?? undefined;
}

export function Login() {
  const { state, redeem } = useSessionState();
  const { search } = useLocation();
  const [code, spent] = useLinkCode();
  const [error, setError] = useState<string>();
  const user = state.phase === "in" && state.session.user !== ANONYMOUS ? state.session.user : undefined;
  const follow = useCallback(() => {
    if (!code) return;
    spent();
    redeem(code).catch((reason: Error) => setError(reason.message));
  }, [code, spent, redeem]);
  // Another user's link must not take the place of a session unasked.
  const unasked = state.phase === "out" || (state.phase === "in" && !user);
  useEffect(() => {
    if (unasked) follow();
  }, [unasked, follow]);
  if (code && user) return <Replace user={user} follow={follow} stay={spent} />;
  if (user) return <Navigate to={safeNext(search)} replace />;
  return <LoginForm linkError={error} />;
}

function Replace({ user, follow, stay }: { user: string; follow: () => void; stay: () => void }) {
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-5 p-6">
      <img src="/icon.svg" alt="" className="size-12" />
      <h1 className="font-semibold text-xl tracking-tight">You are logged in as {user}</h1>
      <p className="max-w-sm text-center text-sm">
        The link that you followed logs you in as the one who made it. Do so only if you know who that is.
      </p>
      <div className="flex gap-3">
        <Action look="primary" onClick={stay}>
          Stay {user}
        </Action>
        <Action onClick={follow}>Use the link</Action>
      </div>
    </main>
  );
}

function LoginForm({ linkError }: { linkError: string | undefined }) {
  const { state, login } = useSessionState();
  const [token, setToken] = useState("");
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const wrong = error ?? linkError;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (busy || token.trim() === "") return;
    setBusy(true);
    setError(undefined);
    login(token.trim())
      .catch((reason: Error) => setError(reason.message))
      .finally(() => setBusy(false));
  };
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-5 p-6">
      <img src="/icon.svg" alt="" className="size-12" />
      <h1 className="font-semibold text-xl tracking-tight">Log in to AegisOps</h1>
      <ProductState />
      <form onSubmit={submit} className="w-full max-w-sm space-y-3 rounded-xl border bg-panel p-5">
        {state.phase === "out" && state.expired && (
          <p className="text-sm text-warn">Your session has ended. Log in again.</p>
        )}
        <label htmlFor="token" className="block font-medium text-sm">
          Access token
        </label>
        <TextInput
          id="token"
          type="password"
          autoComplete="current-password"
          autoFocus
          spellCheck={false}
          value={token}
          aria-invalid={error !== undefined}
          aria-describedby="token-hint"
          onChange={(event) => setToken(event.target.value)}
        />
        <p id="token-hint" className="text-faint text-xs">
          <code className="font-mono">make token</code> prints the administrator's;{" "}
          <code className="font-mono">aegisctl token create</code> makes others.
        </p>
        {wrong && (
          <p role="alert" className="rounded-md bg-bad-tint p-2 text-bad text-sm">
            {wrong}
          </p>
        )}
        <Action
          type="submit"
          look="primary"
          busy={busy}
          className="w-full justify-center"
          blocked={token.trim() === "" ? "Enter a token first" : undefined}
        >
          Log in
        </Action>
      </form>
    </main>
  );
}
