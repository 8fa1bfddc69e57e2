// The session as the page's parts see it.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { whenExpired } from "@/api/request";
import { share } from "@/api/secret";
import { current, login as enter, redeem as follow, logout as leave } from "@/api/session";
import type { Session } from "@/api/types";

type State =
  | { phase: "asking" }
  | { phase: "unreachable"; error: Error }
  | { phase: "out"; expired: boolean }
  | { phase: "in"; session: Session };

type SessionValue = {
  state: State;
  login: (token: string) => Promise<void>;
  /** Logs in with the code of a link. */
  redeem: (code: string) => Promise<void>;
  logout: () => Promise<void>;
  /** Asks the server who we are. */
  check: () => void;
};

const SessionContext = createContext<SessionValue | undefined>(undefined);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [state, setState] = useState<State>({ phase: "asking" });
  const check = useCallback(() => {
    current().then(
      (session) =>
        setState((before) =>
          session ? { phase: "in", session } : { phase: "out", expired: before.phase === "in" },
        ),
      // A controller that is away does not end a session.
      (error: Error) =>
        setState((before) => (before.phase === "in" ? before : { phase: "unreachable", error })),
    );
  }, []);
  useEffect(() => {
    whenExpired(() =>
      setState((before) => (before.phase === "in" ? { phase: "out", expired: true } : before)),
    );
    check();
    return share();
  }, [check]);
  const value = useMemo<SessionValue>(
    () => ({
      state,
      check,
      login: async (token) => setState({ phase: "in", session: await enter(token) }),
      redeem: async (code) => setState({ phase: "in", session: await follow(code) }),
      logout: async () => {
        await leave();
        setState({ phase: "out", expired: false });
      },
    }),
    [state, check],
  );
  return <SessionContext value={value}>{children}</SessionContext>;
}

export function useSessionState(): SessionValue {
  const value = useContext(SessionContext);
  if (!value) throw new Error("useSessionState needs a SessionProvider above it");
  return value;
}
