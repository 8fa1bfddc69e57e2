// The five things a colour can mean here. A tone never stands alone: an icon and a word go with it.

import type { IconName } from "./icon";

export type Tone = "ok" | "warn" | "bad" | "info" | "idle";

export const TONE_TEXT: Record<Tone, string> = {
  ok: "text-ok",
  warn: "text-warn",
  bad: "text-bad",
  info: "text-info",
  idle: "text-faint",
};

export const TONE_CHIP: Record<Tone, string> = {
  ok: "bg-ok-tint text-ok",
  warn: "bg-warn-tint text-warn",
  bad: "bg-bad-tint text-bad",
  info: "bg-info-tint text-info",
  idle: "bg-sunken text-soft",
};

export const TONE_ICON: Record<Tone, IconName> = {
  ok: "check",
  warn: "warn",
  bad: "cross",
  info: "spin",
  idle: "idle",
};
