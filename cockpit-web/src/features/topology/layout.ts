// Where the nodes of the topology stand: agent, applications with their replicas, load balancers; bystanders below.
// From left to right where there is room, from top to bottom where there is not. Pure.

import type { Topology, TopologyNode } from "@/api/types";

export type Placed = TopologyNode & { x: number; y: number };
export type Link = { from: Placed; to: Placed; label: Topology["edges"][number]["label"] };
export type Layout = { width: number; height: number; nodes: Placed[]; links: Link[] };

export const NODE = { width: 214, height: 52 };
const GAP = { across: 110, along: 18, group: 14 };

const COLUMN: Record<TopologyNode["type"], number> = {
  agent: 0,
  dashboard: 0,
  app: 1,
  replica: 1,
  loadbalancer: 2,
  unknown: 3,
};

/** `groupOf` answers which workload a container belongs to, so that its replicas stand together. */
export function layout(topology: Topology, groupOf: (name: string) => string, upright: boolean): Layout {
  const columns: TopologyNode[][] = [[], [], [], []];
  for (const node of topology.nodes) columns[COLUMN[node.type]]?.push(node);
  for (const column of columns) {
    column.sort((a, b) => rank(a) - rank(b) || groupOf(a.id).localeCompare(groupOf(b.id)) || compare(a, b));
  }
  const main = columns.slice(0, 3).filter((column) => column.length > 0);
  const placed = upright ? stacked(main, columns[3] ?? []) : beside(main, columns[3] ?? [], groupOf);
  const byId = new Map(placed.nodes.map((node) => [node.id, node]));
  const links: Link[] = [];
  for (const { from, to, label } of topology.edges) {
    const [a, b] = [byId.get(from), byId.get(to)];
    if (a && b) links.push({ from: a, to: b, label });
  }
  return { ...placed, links };
}

function rank(node: TopologyNode): number {
  return node.type === "dashboard" ? 1 : 0;
}

function compare(a: TopologyNode, b: TopologyNode): number {
  if (a.type !== b.type) return a.type === "app" ? -1 : 1;
  return a.id.localeCompare(b.id, undefined, { numeric: true });
}

function beside(main: TopologyNode[][], bystanders: TopologyNode[], groupOf: (name: string) => string) {
  const step = NODE.height + GAP.along;
  const offsets = main.map((column) => spread(column, groupOf));
  const tallest = Math.max(step, ...offsets.map((one) => one.height));
  const nodes: Placed[] = [];
  main.forEach((column, index) => {
    const { height, at } = offsets[index] ?? { height: 0, at: [] };
    const top = (tallest - height) / 2;
    for (const [row, node] of column.entries())
      nodes.push({ ...node, x: index * (NODE.width + GAP.across), y: top + (at[row] ?? 0) });
  });
  const width = Math.max(1, main.length) * (NODE.width + GAP.across) - GAP.across;
  const perRow = Math.max(1, Math.floor((width + GAP.along) / (NODE.width + GAP.along)));
  const below = tallest + (bystanders.length > 0 ? 40 : 0);
  bystanders.forEach((node, index) => {
    const x = (index % perRow) * (NODE.width + GAP.along);
    nodes.push({ ...node, x, y: below + Math.floor(index / perRow) * step });
  });
  return { width, height: below + Math.ceil(bystanders.length / perRow) * step, nodes };
}

/** Rows of one column, with a little more room between workloads. */
function spread(column: TopologyNode[], groupOf: (name: string) => string) {
  const at: number[] = [];
  let y = 0;
  let group: string | undefined;
  for (const node of column) {
    if (group !== undefined && groupOf(node.id) !== group) y += GAP.group;
    group = groupOf(node.id);
    at.push(y);
    y += NODE.height + GAP.along;
  }
  return { height: y, at };
}

/** One column, indented by tier, so that a telephone shows it whole. */
function stacked(main: TopologyNode[][], bystanders: TopologyNode[]) {
  const nodes: Placed[] = [];
  let y = 0;
  for (const [tier, column] of [...main, bystanders].entries()) {
    if (column.length > 0 && tier > 0) y += 26;
    for (const node of column) {
      nodes.push({ ...node, x: Math.min(tier, 2) * 34, y });
      y += NODE.height + 10;
    }
  }
  return { width: NODE.width + 68, height: y, nodes };
}

/** A curve from one node to the other. */
export function curve({ from, to }: Link, upright: boolean): string {
  if (upright && to.y < from.y) {
    const along = from.x + 12;
    return `M${along} ${from.y}L${along} ${to.y + NODE.height}`;
  }
  if (upright) {
    const [x1, y1] = [from.x + 12, from.y + (to.y > from.y ? NODE.height : 0)];
    const [x2, y2] = [to.x, to.y + NODE.height / 2];
    return `M${x1} ${y1}C${x1} ${y2} ${x1} ${y2} ${x2} ${y2}`;
  }
  const leftward = from.x > to.x;
  const [x1, y1] = [from.x + (leftward ? 0 : NODE.width), from.y + NODE.height / 2];
  const [x2, y2] = [to.x + (leftward ? NODE.width : 0), to.y + NODE.height / 2];
  const bend = Math.max(30, Math.abs(x2 - x1) / 2) * (leftward ? -1 : 1);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}
