// What stands beside what, as it is now. Every node leads to what is known of it.

import { useEffect, useMemo, useRef, useState } from "react";
import { useNavigate } from "react-router";
import type { ContainerState, TopologyNode } from "@/api/types";
import { useObjects, useTopology } from "@/live/hooks";
import { toneOfHealth } from "@/model/workload";
import { Empty, Failure, Loading } from "@/ui/empty";
import { Page, Panel } from "@/ui/panel";
import { StateChip } from "@/ui/state-chip";
import type { Tone } from "@/ui/tone";
import { curve, type Layout, layout, NODE } from "./layout";

const PARTS: Record<TopologyNode["type"], string> = {
  agent: "controller",
  app: "application",
  replica: "replica",
  loadbalancer: "load balancer",
  dashboard: "web page",
  unknown: "not looked after",
};

const EDGES = {
  routes: { words: "sends requests", look: "stroke-accent", dash: "" },
  monitors: { words: "looks after", look: "stroke-line-strong", dash: "4 4" },
  spawned: { words: "made", look: "stroke-line-strong", dash: "" },
} as const;

const STATES: Partial<Record<ContainerState, Tone>> = {
  running: "ok",
  exited: "bad",
  dead: "bad",
  restarting: "warn",
  paused: "warn",
};

type Known = { workload: string | undefined; balancer: string | undefined; tone: Tone; word: string };

function useKnown(): (node: TopologyNode) => Known {
  const { data: workloads } = useObjects("Workload");
  const { data: balancers } = useObjects("LoadBalancer");
  return useMemo(() => {
    const instances = new Map<string, Known>();
    for (const workload of workloads?.values() ?? []) {
      const name = workload.metadata.name;
      for (const instance of workload.status?.instances ?? []) {
        instances.set(instance.name, { workload: name, balancer: undefined, ...toneOfHealth(instance) });
      }
    }
    const lbs = new Map<string, string>();
    for (const balancer of balancers?.values() ?? [])
      lbs.set(balancer.spec.container ?? "aegis-lb", balancer.metadata.name);
    return (node) => {
      const instance = instances.get(node.id);
      if (instance) return instance;
      return {
        workload: undefined,
        balancer: lbs.get(node.id),
        tone: STATES[node.status] ?? "idle",
        word: node.status,
      };
    };
  }, [workloads, balancers]);
}

export default function TopologyPage() {
  const { data, error, refetch } = useTopology();
  const known = useKnown();
  const [box, width] = useWidth();
  const upright = width > 0 && width < 640;
  const placed = useMemo(
    () =>
      data &&
      layout(
        data,
        (name) => known({ id: name, type: "app", status: "unknown", image: "" }).workload ?? "",
        upright,
      ),
    [data, known, upright],
  );
  return (
    <Page title="Topology">
      <Panel
        title="This host"
        note={data ? `${data.nodes.length} containers` : undefined}
        actions={<Legend />}
        flush
      >
        <div ref={box} className="scroll-thin overflow-x-auto p-4">
          {error && <Failure error={error} retry={() => void refetch()} />}
          {!data && !error && <Loading what="the topology" />}
          {data?.nodes.length === 0 && (
            <Empty icon="topology" title="No containers">
              Start one, and it appears here at once.
            </Empty>
          )}
          {placed && placed.nodes.length > 0 && <Picture placed={placed} known={known} upright={upright} />}
        </div>
      </Panel>
      {data && <InWords nodes={data.nodes} known={known} />}
    </Page>
  );
}

function useWidth() {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const { current } = box;
    if (!current || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => setWidth(entry?.contentRect.width ?? 0));
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  return [box, width] as const;
}

function Legend() {
  return (
    <ul className="hidden gap-4 text-faint text-xs sm:flex">
      {Object.entries(EDGES).map(([label, { words, look, dash }]) => (
        <li key={label} className="flex items-center gap-1.5">
          <svg viewBox="0 0 24 4" className="h-1 w-6" aria-hidden="true">
            <path d="M0 2h24" className={look} strokeWidth="2" strokeDasharray={dash} />
          </svg>
          {words}
        </li>
      ))}
    </ul>
  );
}

type PictureProps = { placed: Layout; known: (node: TopologyNode) => Known; upright: boolean };

function target(node: TopologyNode, { workload, balancer }: Known): string | undefined {
  if (workload) return `/workloads/${encodeURIComponent(workload)}`;
  if (balancer) return `/load-balancers/${encodeURIComponent(balancer)}`;
  return node.type === "unknown" ? undefined : `/metrics?q=${encodeURIComponent(node.id)}`;
}

function Picture({ placed, known, upright }: PictureProps) {
  const { width, height, nodes, links } = placed;
  const margin = 6;
  return (
    <svg
      role="group"
      aria-label="Topology of this host"
      viewBox={`${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}`}
      className="mx-auto block h-auto w-full"
      style={{ minWidth: upright ? undefined : 560, maxWidth: width * 1.25 }}
    >
      <defs>
        <marker
          id="arrow"
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="7"
          markerHeight="7"
          orient="auto-start-reverse"
        >
          <path d="M0 0.500L7 4L0 7.500z" className="fill-accent" />
        </marker>
      </defs>
      <g fill="none" aria-hidden="true">
        {links.map((link) => {
          const { look, dash } = EDGES[link.label];
          const routes = link.label === "routes";
          return (
            <path
              key={`${link.from.id} ${link.label} ${link.to.id}`}
              d={curve(link, upright)}
              className={look}
              strokeWidth={routes ? 2 : 1.3}
              strokeDasharray={dash}
              markerEnd={routes ? "url(#arrow)" : undefined}
            />
          );
        })}
      </g>
      {nodes.map((node) => (
        <NodeBox key={node.id} node={node} known={known(node)} />
      ))}
    </svg>
  );
}

const FILLS: Record<Tone, string> = {
  ok: "fill-ok",
  warn: "fill-warn",
  bad: "fill-bad",
  info: "fill-info",
  idle: "fill-faint",
};
const MARKS: Record<Tone, string> = { ok: "✓", warn: "!", bad: "✕", info: "…", idle: "–" };

function NodeBox({ node, known }: { node: Layout["nodes"][number]; known: Known }) {
  const navigate = useNavigate();
  const to = target(node, known);
  const words = `${PARTS[node.type]} · ${known.word}`;
  const name = node.id.length > 24 ? `${node.id.slice(0, 11)}…${node.id.slice(-12)}` : node.id;
  const inside = (
    <>
      <rect
        width={NODE.width}
        height={NODE.height}
        rx="8"
        className="fill-raised stroke-line-strong group-hover:stroke-accent group-focus-visible:stroke-accent"
        strokeWidth="1.200"
      />
      <circle cx="17" cy={NODE.height / 2} r="8" className={FILLS[known.tone]} />
      <text
        x="17"
        y={NODE.height / 2 + 3.6}
        textAnchor="middle"
        className="fill-panel font-bold text-[10px]"
        aria-hidden="true"
      >
        {MARKS[known.tone]}
      </text>
      <text x="34" y="22" className="fill-ink font-medium text-[12px]">
        {name}
      </text>
      <text x="34" y="38" className="fill-faint text-[10.500px]">
        {words}
      </text>
    </>
  );
  const place = `translate(${node.x} ${node.y})`;
  if (!to) return <g transform={place}>{inside}</g>;
  return (
    <g transform={place}>
      <a
        href={to}
        data-node={node.id}
        className="group cursor-pointer outline-offset-2"
        onClick={(event) => {
          event.preventDefault();
          navigate(to);
        }}
      >
        {inside}
      </a>
    </g>
  );
}

/** The same for those who do not see the picture, and for the narrowest screens. */
function InWords({ nodes, known }: { nodes: readonly TopologyNode[]; known: (node: TopologyNode) => Known }) {
  return (
    <Panel title="In words" flush>
      <ul>
        {nodes.map((node) => {
          const { tone, word } = known(node);
          return (
            <li
              key={node.id}
              className="flex flex-wrap items-center gap-x-4 gap-y-0.5 border-b px-4 py-1.5 text-sm last:border-b-0"
            >
              <StateChip plain tone={tone} word={word} />
              <span className="min-w-0 flex-1 truncate">{node.id}</span>
              <span className="text-faint text-xs">{PARTS[node.type]}</span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
