// The structural schemas of the kinds, as the server publishes them, and what they say of a document. Pure.

export type Schema = {
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  required?: string[];
  enum?: unknown[];
  default?: unknown;
  nullable?: boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  pattern?: string;
  allOf?: Schema[];
  $ref?: string;
};

export type Path = readonly (string | number)[];
export type Fault = { path: Path; message: string };

export type Schemas = Record<string, Schema>;

/** The schema of a kind whose status and meta are left out: a person writes neither. */
export function ofKind(schemas: Schemas, kind: string): Schema | undefined {
  const whole = schemas[`io.aegisops.v1alpha1.${kind}`];
  if (!whole?.properties) return undefined;
  const { status: _, ...properties } = whole.properties;
  return { ...whole, properties };
}

export function resolve(schemas: Schemas, schema: Schema): Schema {
  const name = (schema.$ref ?? schema.allOf?.[0]?.$ref)?.split("/").at(-1);
  return (name && schemas[name]) || schema;
}

/** The schema of what stands at a path. */
export function at(schemas: Schemas, schema: Schema, path: Path): Schema | undefined {
  let current: Schema | undefined = schema;
  for (const step of path) {
    if (!current) return undefined;
    const here: Schema = resolve(schemas, current);
    if (typeof step === "number") current = here.items;
    else
      current =
        here.properties?.[step] ??
        (typeof here.additionalProperties === "object" ? here.additionalProperties : undefined);
  }
  return current && resolve(schemas, current);
}

/** Everything in a value that the schema refuses. */
export function faults(schemas: Schemas, schema: Schema, value: unknown, path: Path = []): Fault[] {
  const here = resolve(schemas, schema);
  // A null is a field that is not given; whether it has to be is said where it is required.
  if (value === null) return [];
  const wrong = mistyped(here, value);
  if (wrong) return [{ path, message: wrong }];
  const found: Fault[] = outOfBounds(here, value).map((message) => ({ path, message }));
  if (Array.isArray(value) && here.items) {
    const { items } = here;
    for (const [index, item] of value.entries())
      found.push(...faults(schemas, items, item, [...path, index]));
  } else if (isObject(value)) {
    found.push(...inObject(schemas, here, value, path));
  }
  return found;
}

function inObject(schemas: Schemas, schema: Schema, value: Record<string, unknown>, path: Path): Fault[] {
  const found: Fault[] = [];
  for (const name of schema.required ?? []) {
    if (!(name in value)) found.push({ path, message: `${name} is missing` });
  }
  for (const [name, inner] of Object.entries(value)) {
    const known = schema.properties?.[name];
    if (known) found.push(...faults(schemas, known, inner, [...path, name]));
    else if (typeof schema.additionalProperties === "object")
      found.push(...faults(schemas, schema.additionalProperties, inner, [...path, name]));
    else if (schema.properties && !("x-kubernetes-preserve-unknown-fields" in schema)) {
      const allowed = Object.keys(schema.properties).sort().join(", ");
      found.push({ path: [...path, name], message: `there is no field ${name}; allowed here: ${allowed}` });
    }
  }
  return found;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mistyped(schema: Schema, value: unknown): string | undefined {
  const is = {
    string: typeof value === "string",
    integer: Number.isInteger(value),
    number: typeof value === "number",
    boolean: typeof value === "boolean",
    array: Array.isArray(value),
    object: isObject(value),
  }[schema.type ?? ""];
  if (is !== false) return undefined;
  return `must be ${/^[aeiou]/.test(schema.type ?? "") ? "an" : "a"} ${schema.type}`;
}

function outOfBounds(schema: Schema, value: unknown): string[] {
  const out: string[] = [];
  if (schema.enum && !schema.enum.includes(value))
    out.push(`must be one of ${schema.enum.filter((one) => one !== null).join(", ")}`);
  if (typeof value === "number") {
    if (schema.minimum !== undefined && value < schema.minimum) out.push(`must be ${schema.minimum} or more`);
    if (schema.maximum !== undefined && value > schema.maximum) out.push(`must be ${schema.maximum} or less`);
  }
  if (typeof value === "string") {
    if (schema.minLength !== undefined && value.length < schema.minLength) out.push("must not be empty");
    if (schema.maxLength !== undefined && value.length > schema.maxLength)
      out.push(`must have at most ${schema.maxLength} characters`);
    if (schema.pattern && !new RegExp(schema.pattern, "u").test(value))
      out.push(`must match ${schema.pattern}`);
  }
  if (Array.isArray(value)) {
    if (schema.minItems !== undefined && value.length < schema.minItems)
      out.push(`needs at least ${schema.minItems}`);
    if (schema.maxItems !== undefined && value.length > schema.maxItems)
      out.push(`may have at most ${schema.maxItems}`);
  }
  return out;
}
