// What stands where data would: nothing there, an error, or not there yet. Each says what to do next.

import type { ReactNode } from "react";
import { Action } from "./action";
import { Icon, type IconName } from "./icon";

export function Empty({
  icon = "idle",
  title,
  children,
}: {
  icon?: IconName;
  title: string;
  children?: ReactNode;
}) {
  return (
    <div className="flex flex-col items-center gap-1.5 px-6 py-10 text-center">
      <Icon name={icon} className="size-6 text-faint" />
      <p className="font-medium text-sm">{title}</p>
      {children && <div className="max-w-prose text-faint text-sm">{children}</div>}
    </div>
  );
}

export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <div
      role="alert"
      className="m-3 flex flex-wrap items-start gap-3 rounded-md bg-bad-tint p-3 text-bad text-sm"
    >
      <Icon name="warn" className="mt-0.5 size-4" />
      <p className="min-w-0 flex-1 whitespace-pre-wrap break-words">{error.message}</p>
      {retry && <Action onClick={retry}>Try again</Action>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p role="status" className="flex items-center gap-2 px-4 py-6 text-faint text-sm">
      <Icon name="spin" className="size-4 animate-spin" />
      Loading {what}…
    </p>
  );
}
