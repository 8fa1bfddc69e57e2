// What the viewing user's role allows.

import { createContext, useContext } from "react";
import type { Kind, Role, Session } from "./types";

const RoleContext = createContext<Session>({ user: "", role: "viewer" });

export const SessionGiver = RoleContext.Provider;

export function useWho(): Session {
  return useContext(RoleContext);
}

/** What only an administrator may change: what is in care, and by which rules. */
const ADMINISTERED = new Set<Kind>(["RemediationPolicy", "Detector", "AlertSource"]);
/** What an operator may also delete. */
const OPERATED = new Set<Kind>(["RunbookEntry", "Silence"]);

/** Why this person may not change (or delete) an object of this kind; `undefined` if they may. The server has the last word. */
export function forbidden(role: Role, kind: Kind, deletes = false): string | undefined {
  if (role === "admin") return undefined;
  const administered = ADMINISTERED.has(kind) || (deletes && !OPERATED.has(kind));
  if (role === "viewer") {
    const wanted = administered ? "an admin's" : "an operator's";
    return `Your role is viewer, which may look and not change. Log in with ${wanted} token.`;
  }
  return administered ? `Your role is ${role}; this takes an admin.` : undefined;
}

export function useForbidden(kind: Kind, deletes = false): string | undefined {
  const { role } = useWho();
  return forbidden(role, kind, deletes);
}
