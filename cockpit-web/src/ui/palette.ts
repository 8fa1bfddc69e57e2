// Colours for a canvas, which knows no custom properties: read from hidden elements that have them. Changes with the theme.

import { useSyncExternalStore } from "react";

const DARK = "(prefers-color-scheme: dark)";

function subscribe(changed: () => void): () => void {
  const watcher = new MutationObserver(changed);
  watcher.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const system = globalThis.matchMedia?.(DARK);
  system?.addEventListener("change", changed);
  return () => {
    watcher.disconnect();
    system?.removeEventListener("change", changed);
  };
}

function current(): string {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (globalThis.matchMedia?.(DARK).matches ? "dark" : "light");
}

/** `light` or `dark`, as it is shown now. */
export function useShownTheme(): string {
  return useSyncExternalStore(subscribe, current);
}

/** The colour that text of this class has. */
export function colourOf(parent: HTMLElement, className: string): string {
  const probe = document.createElement("span");
  probe.className = className;
  probe.hidden = true;
  parent.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
