// Pages are loaded when they are opened. A load that fails is tried again: the network may have changed under it. What
// still fails may be of a version that is gone, and then the page itself is reloaded, once.

import { type ComponentType, lazy } from "react";

const PAUSES_MS = [300, 1500];
const KEY = "aegis.reloaded";
const SOON_MS = 30_000;

type Module = { default: ComponentType };

export function loadPage(load: () => Promise<Module>) {
  return lazy(() => patiently(load, PAUSES_MS));
}

async function patiently(load: () => Promise<Module>, pauses: readonly number[]): Promise<Module> {
  try {
    return await load();
  } catch (error) {
    const [pause, ...rest] = pauses;
    if (pause !== undefined) {
      await new Promise((done) => setTimeout(done, pause));
      return patiently(load, rest);
    }
    if (reloadedLately()) throw error;
    location.reload();
    return new Promise(() => undefined);
  }
}

function reloadedLately(): boolean {
  try {
    const last = Number(sessionStorage.getItem(KEY) ?? 0);
    sessionStorage.setItem(KEY, String(Date.now()));
    return Date.now() - last < SOON_MS;
  } catch {
    // A browser that keeps nothing might reload for ever.
    return true;
  }
}
