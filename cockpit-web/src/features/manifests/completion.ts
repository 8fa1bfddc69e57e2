// What may be written at the cursor: fields of the schema, and values where they are few. Pure but for CodeMirror's types.

import type { CompletionContext, CompletionResult } from "@codemirror/autocomplete";
import { at, ofKind, type Path, type Schema, type Schemas } from "./schema";

/** The keys above a line that its indentation belongs to. */
export function pathAt(lines: readonly string[], index: number, indent: number): (string | number)[] {
  const path: (string | number)[] = [];
  let within = indent;
  for (let row = index - 1; row >= 0 && within > 0; row--) {
    const line = lines[row] ?? "";
    const found = /^(\s*)((?:- )*)([\w.\-/]+):(?:\s|$)/.exec(line);
    if (!found) continue;
    const depth = (found[1] ?? "").length;
    const dashes = (found[2] ?? "").length;
    if (depth + dashes < within) {
      path.unshift(found[3] ?? "");
      within = depth + dashes;
      if (dashes > 0) {
        path.unshift(0);
        within = depth + 1;
        // The list's own key stands at the dash's depth or less.
        const parent = parentOf(lines, row, depth);
        if (parent) {
          path.unshift(parent.key);
          within = parent.depth;
        }
      }
    }
  }
  return path;
}

function parentOf(lines: readonly string[], index: number, depth: number) {
  for (let row = index - 1; row >= 0; row--) {
    const found = /^(\s*)([\w.\-/]+):\s*$/.exec(lines[row] ?? "");
    if (found && (found[1] ?? "").length <= depth)
      return { key: found[2] ?? "", depth: (found[1] ?? "").length };
  }
  return undefined;
}

export function completer(schemas: () => Schemas | undefined) {
  return (context: CompletionContext): CompletionResult | null => {
    const known = schemas();
    if (!known) return null;
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const lines = context.state.doc.toString().split("\n");
    const kind = /^kind:\s*(\w+)/m.exec(context.state.doc.toString())?.[1] ?? "";
    const value = /^(\s*(?:- )*)([\w.\-/]+):\s+(\S*)$/.exec(before);
    const key = /^(\s*(?:- )*)([\w.\-/]*)$/.exec(before);
    if (value) return values(known, kind, lines, line.number - 1, value, context.pos);
    if (!key || (!context.explicit && !key[2])) return null;
    const indent = (key[1] ?? "").length;
    const list = (key[1] ?? "").includes("-") ? [0] : [];
    const path: Path = [...pathAt(lines, line.number - 1, indent), ...list];
    const here = root(known, kind, path);
    if (!here?.properties) return null;
    const options = Object.entries(here.properties).map(([name, schema]) => ({
      label: name,
      type: "property",
      detail: schema.type,
      info: schema.description,
      apply: schema.type === "object" || schema.type === "array" ? `${name}:` : `${name}: `,
      boost: here.required?.includes(name) ? 1 : 0,
    }));
    return { from: context.pos - (key[2] ?? "").length, options, validFor: /^[\w.\-/]*$/ };
  };
}

function root(schemas: Schemas, kind: string, path: Path): Schema | undefined {
  const schema = ofKind(schemas, kind);
  if (!schema)
    return path.length === 0
      ? { properties: { apiVersion: {}, kind: {}, metadata: { type: "object" }, spec: { type: "object" } } }
      : undefined;
  return at(schemas, schema, path);
}

function values(
  schemas: Schemas,
  kind: string,
  lines: readonly string[],
  index: number,
  found: RegExpExecArray,
  position: number,
): CompletionResult | null {
  const [, lead = "", name = "", typed = ""] = found;
  const path = [...pathAt(lines, index, lead.length), ...(lead.includes("-") ? [0] : []), name];
  const options =
    name === "kind" && lead === ""
      ? Object.keys(schemas)
          .map((one) => /^io\.aegisops\.v1alpha1\.(\w+?)$/.exec(one)?.[1])
          .filter((one) => one !== undefined && !one.endsWith("List"))
      : (root(schemas, kind, path)?.enum ??
        (root(schemas, kind, path)?.type === "boolean" ? [true, false] : []));
  if (options.length === 0) return null;
  return {
    from: position - typed.length,
    options: options.filter((one) => one !== null).map((one) => ({ label: String(one), type: "enum" })),
    validFor: /^\w*$/,
  };
}
