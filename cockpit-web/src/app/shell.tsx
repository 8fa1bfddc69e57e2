// The frame around every page: sections, who is logged in, how the connection stands.

import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useCallback, useEffect, useState } from "react";
import { NavLink, useLocation, useNavigate } from "react-router";
import { useWho } from "@/api/role";
import { ANONYMOUS } from "@/api/session";
import { PauseBanner } from "@/features/automation/banner";
import { useObjects } from "@/live/hooks";
import { isOpen } from "@/model/incident";
import { Action } from "@/ui/action";
import { Loading } from "@/ui/empty";
import { Icon } from "@/ui/icon";
import { ConnectionBadge, StaleBanner } from "./connection-badge";
import { Help } from "./help";
import { useKeyboard } from "./keyboard";
import { PageBoundary } from "./page-boundary";
import { SECTIONS } from "./sections";
import { useSessionState } from "./session-context";
import { useTheme } from "./theme";

export function Shell() {
  const [helping, setHelping] = useState(false);
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  const help = useCallback(() => setHelping(true), []);
  useKeyboard(help);
  useTitle();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the menu
  useEffect(() => setOpen(false), [pathname]);
  return (
    <div className="flex h-full flex-col lg:flex-row">
      <a
        href="#main"
        className="sr-only z-50 rounded bg-accent-fill px-3 py-1 text-on-accent focus:not-sr-only focus:absolute focus:top-2 focus:left-2"
      >
        Skip to the page
      </a>
      <header className="flex shrink-0 items-center gap-3 border-b bg-panel px-4 py-2 lg:hidden">
        <Action
          look="ghost"
          icon={open ? "cross" : "menu"}
          bare
          aria-expanded={open}
          aria-controls="sections"
          onClick={() => setOpen(!open)}
        >
          {open ? "Close the menu" : "Menu"}
        </Action>
        <Brand />
        <div className="ml-auto">
          <ConnectionBadge />
        </div>
      </header>
      <div
        id="sections"
        className={`${open ? "flex" : "hidden"} shrink-0 flex-col border-b bg-panel p-3 lg:flex lg:w-52 lg:border-r lg:border-b-0`}
      >
        <div className="mb-3 hidden items-center justify-between px-2 pt-1 lg:flex">
          <Brand />
        </div>
        <Sections />
        <Foot help={help} />
      </div>
      <div className="flex min-h-0 min-w-0 flex-1 flex-col">
        <StaleBanner />
        <PauseBanner />
        <main id="main" tabIndex={-1} className="scroll-thin relative min-h-0 flex-1 overflow-auto">
          <Suspense fallback={<Loading what="the page" />}>
            <PageBoundary />
          </Suspense>
        </main>
      </div>
      {helping && <Help onClose={() => setHelping(false)} />}
    </div>
  );
}

export function Brand() {
  return (
    <span className="flex items-center gap-2 font-semibold text-base tracking-tight">
      <img src="/icon.svg" alt="" className="size-5" />
      AegisOps
    </span>
  );
}

function Sections() {
  const { data: incidents } = useObjects("Incident");
  const count = incidents ? [...incidents.values()].filter(isOpen).length : 0;
  return (
    <nav aria-label="Sections">
      <ul className="grid grid-cols-2 gap-0.5 sm:grid-cols-3 lg:grid-cols-1">
        {SECTIONS.map(({ path, name, icon, key }) => (
          <li key={path}>
            <NavLink
              to={path}
              end={path === "/"}
              title={`${name} (g ${key})`}
              className={({ isActive }) =>
                `flex h-8 items-center gap-2.5 rounded-md px-2 text-sm ${isActive ? "bg-accent-tint font-medium text-accent" : "text-soft hover:bg-hover hover:text-ink"}`
              }
            >
              <Icon name={icon} className="size-4" />
              {name}
              {path === "/incidents" && count > 0 && (
                <span className="ml-auto rounded-full bg-bad-tint px-1.5 font-semibold text-2xs text-bad">
                  {count}
                  <span className="sr-only"> open</span>
                </span>
              )}
            </NavLink>
          </li>
        ))}
      </ul>
    </nav>
  );
}

const THEME_WORDS = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" } as const;
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;

function Foot({ help }: { help: () => void }) {
  const { user, role } = useWho();
  const { logout } = useSessionState();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const anonymous = user === ANONYMOUS;
  const [theme, nextTheme] = useTheme();
  return (
    <div className="mt-3 flex flex-wrap items-center gap-2 border-t pt-3 lg:mt-auto lg:flex-col lg:items-stretch">
      <div className="hidden px-2 lg:block">
        <ConnectionBadge />
      </div>
      <div className="flex min-w-0 items-center gap-2 px-2">
        <Icon name="person" className="size-4 text-faint" />
        <span className="min-w-0 truncate text-sm" title={`${user}, ${role}`}>
          {anonymous ? "not logged in" : user}
        </span>
        {user !== role && <span className="text-faint text-xs">{role}</span>}
      </div>
      <div className="ml-auto flex gap-1 lg:ml-0">
        <Action look="ghost" icon={THEME_ICONS[theme]} bare onClick={nextTheme}>
          {THEME_WORDS[theme]}
        </Action>
        <Action look="ghost" icon="keyboard" bare onClick={help}>
          Keyboard help
        </Action>
        {anonymous ? (
          <Action look="ghost" icon="out" onClick={() => navigate("/login")}>
            Log in
          </Action>
        ) : (
          <Action look="ghost" icon="out" bare onClick={() => void logout().finally(() => queries.clear())}>
            Log out
          </Action>
        )}
      </div>
    </div>
  );
}

function useTitle() {
  const { pathname } = useLocation();
  useEffect(() => {
    const section = SECTIONS.findLast(({ path }) => pathname.startsWith(path));
    document.title = section && section.path !== "/" ? `${section.name} · AegisOps` : "AegisOps";
  }, [pathname]);
}
