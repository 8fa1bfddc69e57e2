// Line icons, drawn here so that nothing is loaded from elsewhere. Decorative: the word beside one says what it means.

const PATHS = {
  overview: "M3 3h7v8H3zM14 3h7v5h-7zM14 12h7v9h-7zM3 15h7v6H3z",
  incident: "M12 3l9.500 17H2.500zM12 10v4M12 17.200v.1",
  workload:
    "M12 2.500l8.500 4.700v9.600L12 21.500l-8.500-4.700V7.200zM3.500 7.200L12 12l8.500-4.800M12 12v9.500",
  topology:
    "M12 3v5M12 8a2.500 2.500 0 100 5 2.500 2.500 0 000-5zM10 12.200L6 17M14 12.200l4 4.800M5 16.500a2.200 2.200 0 100 4.400 2.200 2.200 0 000-4.400zM19 16.500a2.200 2.200 0 100 4.400 2.200 2.200 0 000-4.400z",
  detector: "M2 12s3.600-7 10-7 10 7 10 7-3.600 7-10 7S2 12 2 12zM12 9a3 3 0 100 6 3 3 0 000-6z",
  metrics: "M3 20.500h18M4 16l5-6 4 3.500L20 5",
  balancer: "M12 3v5M12 8H5v5M12 8h7v5M12 8v5M3 13h4v4H3zM10 13h4v4h-4zM17 13h4v4h-4zM5 17v4M12 17v4M19 17v4",
  runbook:
    "M4 4.500A2.500 2.500 0 016.500 2H20v17H6.500A2.500 2.500 0 004 21.500zM4 19.500A2.500 2.500 0 006.500 22H20v-3M9 7h7M9 11h5",
  manifest: "M6 2h8l5 5v15H6zM14 2v5h5M9.500 13l-2 2 2 2M14.500 13l2 2-2 2",
  events: "M3 12h4l3-8 4 16 3-8h4",
  check: "M4.500 12.500l5 5 10-11",
  cross: "M5.500 5.500l13 13M18.500 5.500l-13 13",
  warn: "M12 7v6M12 16.500v.1M12 2.500a9.500 9.500 0 100 19 9.500 9.500 0 000-19z",
  clock: "M12 6.500V12l3.500 2M12 2.500a9.500 9.500 0 100 19 9.500 9.500 0 000-19z",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.500l12 7.500-12 7.500z",
  idle: "M5 12h14",
  spin: "M12 3a9 9 0 109 9",
  search: "M11 4a7 7 0 100 14 7 7 0 000-14zM16.200 16.200L21 21",
  menu: "M4 6.500h16M4 12h16M4 17.500h16",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2",
  moon: "M20 14.500A8.500 8.500 0 119.500 4 7 7 0 0020 14.500z",
  auto: "M12 3a9 9 0 100 18zM12 3a9 9 0 010 18",
  out: "M10 4H4.500v16H10M15 8l4 4-4 4M19 12H9",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  restart: "M20 12a8 8 0 11-2.500-5.800M20 3v5h-5",
  back: "M9 7L4 12l5 5M4 12h11a5 5 0 010 10h-2",
  edit: "M4 20h4L19.500 8.500l-4-4L4 16zM13.500 6.500l4 4",
  trash: "M4 6.500h16M9 6V3.500h6V6M6.500 6.500l1 14h9l1-14",
  plus: "M12 5v14M5 12h14",
  download: "M12 3v12M7 10.500l5 5 5-5M4 20.500h16",
  bell: "M6 9a6 6 0 0112 0c0 6 2 7 2 7H4s2-1 2-7M10 20a2 2 0 004 0",
  mute: "M6 9a6 6 0 0112 0c0 6 2 7 2 7H4s2-1 2-7M10 20a2 2 0 004 0M4 3l16 18",
  person: "M12 4a4 4 0 100 8 4 4 0 000-8zM4.500 21c.5-4 3.500-6 7.500-6s7 2 7.500 6",
  robot: "M6 8.500h12v10H6zM12 8.500V4M9.500 13v1.500M14.500 13v1.500M3 12v4M21 12v4M12 2.500v.1",
  shield: "M12 2.500l8 3v6c0 5-3.300 8.500-8 10-4.700-1.500-8-5-8-10v-6z",
  chevron: "M9 5l7 7-7 7",
  link: "M10 14a4 4 0 005.700 0l3-3A4 4 0 0013 5.300l-1 1M14 10a4 4 0 00-5.700 0l-3 3A4 4 0 0011 18.700l1-1",
  keyboard: "M2.500 6h19v12h-19zM6 10h.1M10 10h.1M14 10h.1M18 10h.1M7.500 14.500h9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, className = "size-4" }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 24 24"
      aria-hidden="true"
      className={`shrink-0 ${className}`}
      fill="none"
      stroke="currentColor"
      strokeWidth={1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
