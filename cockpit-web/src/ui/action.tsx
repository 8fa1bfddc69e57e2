// Buttons. A disabled one stays reachable and says why.

import { type ButtonHTMLAttributes, type ReactNode, useId } from "react";
import { Icon, type IconName } from "./icon";

type Look = "primary" | "plain" | "danger" | "ghost";

const LOOKS: Record<Look, string> = {
  primary: "bg-accent-fill text-on-accent border-transparent enabled:hover:bg-accent-fill-hover",
  plain: "bg-raised text-ink border-line-strong enabled:hover:bg-hover",
  danger: "bg-bad-fill text-on-accent border-transparent enabled:hover:brightness-110",
  ghost: "bg-transparent text-soft border-transparent enabled:hover:bg-hover enabled:hover:text-ink",
};

type Props = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "disabled" | "children"> & {
  look?: Look;
  icon?: IconName;
  /** Why it cannot be used now; absent when it can. */
  blocked?: string | null | undefined;
  busy?: boolean;
  /** Only the icon is shown; the children are its name. */
  bare?: boolean;
  children: ReactNode;
};

export function Action({
  look = "plain",
  icon,
  blocked,
  busy = false,
  bare = false,
  children,
  ...rest
}: Props) {
  const reason = useId();
  const off = Boolean(blocked) || busy;
  const { onClick, className = "", type = "button", ...attributes } = rest;
  const dim = off ? "opacity-60 cursor-not-allowed" : "";
  const size = bare ? "size-8 justify-center" : "h-8 px-3";
  return (
    <span className="group/action relative inline-flex">
      <button
        {...attributes}
        type={type}
        aria-disabled={off}
        aria-busy={busy || undefined}
        aria-describedby={blocked ? reason : undefined}
        aria-label={bare && typeof children === "string" ? children : attributes["aria-label"]}
        title={bare && typeof children === "string" && !blocked ? children : attributes.title}
        onClick={(event) => {
          if (off) event.preventDefault();
          else onClick?.(event);
        }}
        className={`inline-flex items-center gap-1.5 whitespace-nowrap rounded-md border font-medium text-sm transition-colors ${LOOKS[look]} ${size} ${dim} ${className}`}
      >
        {busy ? (
          <Icon name="spin" className="size-3.5 animate-spin" />
        ) : (
          icon && <Icon name={icon} className="size-3.5" />
        )}
        {bare ? null : children}
      </button>
      {blocked && (
        <span
          id={reason}
          role="tooltip"
          className="pointer-events-none invisible absolute top-full right-0 z-30 mt-1 w-max max-w-60 whitespace-normal rounded-md bg-ink px-2 py-1 text-ground text-xs shadow-lg group-focus-within/action:visible group-hover/action:visible"
        >
          {blocked}
        </span>
      )}
    </span>
  );
}
