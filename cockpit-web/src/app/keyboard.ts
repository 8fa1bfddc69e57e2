// The keys of the whole page. What a page's rows are is said by `data-row`, its search box by `data-search`.

import { useEffect, useRef } from "react";
import { useNavigate } from "react-router";
import { SECTIONS } from "./sections";

/** How long `g` waits for its second key. */
const PAIR_MS = 1500;

export const KEYS: readonly [string, string][] = [
  ["/", "search on this page"],
  ["j  k", "next and previous row"],
  ["Enter", "open the row"],
  ...SECTIONS.map(({ key, name }): [string, string] => [`g ${key}`, `go to ${name}`]),
  ["Esc", "close, or leave a field"],
  ["?", "this help"],
];

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return (
    target.isContentEditable ||
    ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) ||
    target.shadowRoot !== null
  );
}

function moveRow(step: 1 | -1): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")].filter(
    (row) => row.offsetParent !== null,
  );
  if (rows.length === 0) return false;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next =
    rows[at === -1 ? (step === 1 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  next?.focus();
  return true;
}

export function useKeyboard(help: () => void): void {
  const navigate = useNavigate();
  const pending = useRef(0);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const paired = event.timeStamp - pending.current < PAIR_MS && pending.current > 0;
      pending.current = 0;
      if (paired) {
        const section = SECTIONS.find(({ key }) => key === event.key);
        if (section) {
          event.preventDefault();
          navigate(section.path);
        }
        return;
      }
      if (event.key === "g") pending.current = event.timeStamp;
      else if (event.key === "?") help();
      else if (event.key === "/") {
        const box = document.querySelector<HTMLElement>("[data-search]");
        if (box) {
          event.preventDefault();
          box.focus();
        }
      } else if (event.key === "j" || event.key === "k") {
        if (moveRow(event.key === "j" ? 1 : -1)) event.preventDefault();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [navigate, help]);
}
