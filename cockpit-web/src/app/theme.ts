// Light, dark, or as the system says. Remembered in this browser.

import { useState } from "react";

export type Theme = "auto" | "light" | "dark";

const KEY = "aegis.theme";
const ORDER: readonly Theme[] = ["auto", "light", "dark"];

function read(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return ORDER.find((theme) => theme === stored) ?? "auto";
  } catch {
    return "auto";
  }
}

function show(theme: Theme): void {
  const { dataset } = document.documentElement;
  if (theme === "auto") delete dataset.theme;
  else dataset.theme = theme;
}

export function restoreTheme(): void {
  show(read());
}

export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(read);
  const next = () => {
    const following = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "auto";
    show(following);
    setTheme(following);
    try {
      localStorage.setItem(KEY, following);
    } catch {
      // A browser that keeps nothing shows it until the page is left.
    }
  };
  return [theme, next];
}
