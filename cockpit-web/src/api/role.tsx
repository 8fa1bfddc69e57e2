// What the role of whoever looks allows.

import { createContext, useContext } from "react";
import type { Session } from "./session";

const RoleContext = createContext<Session>({ user: "", role: "viewer" });

export const SessionGiver = RoleContext.Provider;

export function useWho(): Session {
  return useContext(RoleContext);
}

/** Why this person may change nothing; `undefined` if they may. */
export function useForbidden(): string | undefined {
  const { role } = useWho();
  if (role !== "viewer") return undefined;
  return "Your role is viewer, which may look and not change. Ask for an operator's token.";
}
