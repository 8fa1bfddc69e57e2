// Where notifications go, what became of the latest, and a test message.

import { request } from "./request";
import type { NotificationList, NotificationTests } from "./types";

export function listNotifications(signal?: AbortSignal): Promise<NotificationList> {
  return request("/notifications", signal ? { signal } : {});
}

export function testNotifications(destination: string): Promise<NotificationTests> {
  return request(`/notifications/test?destination=${encodeURIComponent(destination)}`, { method: "POST" });
}
