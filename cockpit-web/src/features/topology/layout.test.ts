import { expect, test } from "vitest";
import type { Topology, TopologyNode } from "@/api/types";
import { layout, NODE } from "./layout";

const node = (id: string, type: TopologyNode["type"]): TopologyNode => ({
  id,
  type,
  status: "running",
  image: "i",
});
const topology: Topology = {
  nodes: [
    node("lb", "loadbalancer"),
    node("web-replica-2", "replica"),
    node("boss", "agent"),
    node("web", "app"),
    node("web-replica-1", "replica"),
    node("stranger", "unknown"),
  ],
  edges: [
    { from: "boss", to: "web", label: "monitors" },
    { from: "lb", to: "web", label: "routes" },
    { from: "lb", to: "gone", label: "routes" },
  ],
};

test.each([false, true])(
  "no two nodes overlap, all lie inside, and a link to nowhere is left out (upright: %s)",
  (upright) => {
    const { nodes, links, width, height } = layout(topology, () => "web", upright);
    expect(nodes).toHaveLength(6);
    for (const a of nodes) {
      expect(a.x + NODE.width).toBeLessThanOrEqual(width);
      expect(a.y + NODE.height).toBeLessThanOrEqual(height);
      for (const b of nodes) {
        if (a === b) continue;
        expect(Math.abs(a.x - b.x) >= NODE.width || Math.abs(a.y - b.y) >= NODE.height).toBe(true);
      }
    }
    expect(links).toHaveLength(2);
  },
);

test("an application stands above its replicas, and those in the order of their numbers", () => {
  const { nodes } = layout(topology, () => "web", false);
  const middle = nodes.filter(({ type }) => type === "app" || type === "replica").sort((a, b) => a.y - b.y);
  expect(middle.map(({ id }) => id)).toEqual(["web", "web-replica-1", "web-replica-2"]);
});
