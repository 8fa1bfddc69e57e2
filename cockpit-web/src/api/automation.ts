// The brake: whether automation is paused, pausing it and letting it go on.

import { request } from "./request";
import type { AutomationView, PauseWanted } from "./types";

export function pauseAutomation(wanted: PauseWanted): Promise<AutomationView> {
  return request("/automation/pause", { method: "POST", body: wanted });
}

export function resumeAutomation(wanted: PauseWanted): Promise<AutomationView> {
  return request("/automation/resume", { method: "POST", body: wanted });
}
