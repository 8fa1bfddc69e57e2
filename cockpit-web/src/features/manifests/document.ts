// A manifest as text: what it says, where each field stands, how a live object reads as one. Pure.

import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument, stringify } from "yaml";
import type { AnyObject } from "@/api/types";
import { faults, ofKind, type Path, type Schemas } from "./schema";

export type Problem = {
  line: number;
  from: number;
  to: number;
  message: string;
  source: "yaml" | "schema" | "server";
};

export type Manifest = {
  value: unknown;
  kind: string;
  name: string;
  problems: Problem[];
  /** Where a field stands; for one that is not there its parent. */
  locate: (path: Path) => { from: number; to: number; line: number };
};

export function read(text: string, schemas: Schemas | undefined): Manifest {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const lineOf = (offset: number) => counter.linePos(Math.min(offset, text.length)).line;
  const locate = (path: Path) => {
    const [from, to] = rangeOf(document.contents, path) ?? [0, 0];
    return { from, to: Math.max(to, from), line: lineOf(from) };
  };
  const problems: Problem[] = document.errors.map(({ message, pos: [from, to] }) => ({
    line: lineOf(from),
    from,
    to,
    message: message.split("\n")[0] ?? message,
    source: "yaml",
  }));
  const value: unknown = problems.length > 0 ? undefined : document.toJS();
  const field = (name: string): unknown =>
    typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  const kind = String(field("kind") ?? "");
  const metadata = field("metadata");
  const name =
    typeof metadata === "object" && metadata !== null && "name" in metadata ? String(metadata.name) : "";
  if (problems.length === 0 && schemas) {
    for (const fault of checked(value, kind, schemas)) {
      problems.push({ ...locate(fault.path), message: fault.message, source: "schema" });
    }
  }
  return { value, kind, name, problems, locate };
}

function checked(value: unknown, kind: string, schemas: Schemas) {
  if (value === null || typeof value !== "object")
    return [{ path: [], message: "a manifest has kind, metadata and spec" }];
  const schema = ofKind(schemas, kind);
  if (!schema) {
    const known = Object.keys(schemas)
      .map((name) => /^io\.aegisops\.v1alpha1\.(\w+?)$/.exec(name)?.[1])
      .filter((name) => name && !name.endsWith("List"));
    return [{ path: ["kind"], message: `kind must be one of ${known.join(", ")}` }];
  }
  return faults(schemas, schema, value);
}

/** The range of the key where there is one, so that the mark is on the line of the field. */
function rangeOf(contents: Node | null, path: Path): [number, number] | undefined {
  let node: unknown = contents;
  let range: [number, number] | undefined;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (!pair || !isScalar(pair.key) || !pair.key.range) return range;
      range = [pair.key.range[0], endOf(pair.value) ?? pair.key.range[1]];
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(step)];
      const start = (node as Node | undefined)?.range;
      if (!start) return range;
      range = [start[0], start[1]];
    } else return range;
  }
  return range;
}

function endOf(value: unknown): number | undefined {
  return isScalar(value) && value.range ? value.range[1] : undefined;
}

/** A field as servers name it: `spec.backends[0].port`. */
export function pathOf(field: string): Path {
  return field
    .split(/\.|\[(\d+)\]/)
    .filter((part) => part !== undefined && part !== "")
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

/** What a person wrote of an object: without its status and without what the server fills in. */
export function textOf(object: AnyObject): string {
  const { name, labels, annotations } = object.metadata;
  const own = Object.entries(annotations ?? {}).filter(
    ([key]) => key !== "kubectl.kubernetes.io/last-applied-configuration",
  );
  const metadata: Record<string, unknown> = { name };
  if (labels && Object.keys(labels).length > 0) metadata.labels = labels;
  if (own.length > 0) metadata.annotations = Object.fromEntries(own);
  return stringify(
    { apiVersion: "aegisops.io/v1alpha1", kind: object.kind, metadata, spec: object.spec },
    { lineWidth: 110 },
  );
}

/** What is sent: what was written, on the version that it was written for. */
export function body(value: unknown, live: AnyObject | undefined): unknown {
  if (!live || typeof value !== "object" || value === null) return value;
  const { metadata } = value as { metadata?: Record<string, unknown> };
  const { resourceVersion, finalizers, annotations } = live.metadata;
  const applied = annotations?.["kubectl.kubernetes.io/last-applied-configuration"];
  const kept = applied ? { "kubectl.kubernetes.io/last-applied-configuration": applied } : {};
  const merged = { ...kept, ...(metadata?.annotations as object | undefined) };
  return {
    ...value,
    metadata: {
      ...metadata,
      ...(Object.keys(merged).length > 0 ? { annotations: merged } : {}),
      ...(finalizers ? { finalizers } : {}),
      resourceVersion,
    },
  };
}
