import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { pathOf, read, textOf } from "./document";
import type { Schemas } from "./schema";

const { components } = JSON.parse(readFileSync("src/api/openapi.json", "utf8")) as {
  components: { schemas: Schemas };
};
const schemas = components.schemas;
const problems = (text: string) =>
  read(text, schemas).problems.map(({ line, message }) => `${line}: ${message}`);

const good = `apiVersion: aegisops.io/v1alpha1
kind: Workload
metadata:
  name: web
spec:
  container: web
  replicas: 2
  health:
    http:
      port: 80
`;

test("a good manifest has no problems, and its kind and name are read", () => {
  expect(problems(good)).toEqual([]);
  expect(read(good, schemas)).toMatchObject({ kind: "Workload", name: "web" });
});

test("each mistake is reported at its line, with what is allowed", () => {
  expect(problems(good.replace("replicas: 2", "replicas: two"))).toEqual(["7: must be an integer"]);
  expect(problems(good.replace("port: 80", "port: 99999"))).toEqual(["10: must be 65535 or less"]);
  const [misspelt] = problems(good.replace("replicas", "replcas"));
  expect(misspelt).toMatch(/^7: there is no field replcas; allowed here: autoscale, container/);
  expect(problems("kind: Pod\nmetadata:\n  name: x\n")[0]).toMatch(/^1: kind must be one of .*Workload/);
});

test("broken YAML is reported at its line before anything else", () => {
  expect(problems("kind: Workload\nspec: [1,\n")[0]).toMatch(/^[23]: /);
});

test("a field that the server names is found in the text, and for one that is absent its parent", () => {
  const { locate } = read(good, schemas);
  expect(pathOf("spec.backends[0].port")).toEqual(["spec", "backends", 0, "port"]);
  expect(locate(pathOf("spec.health.http.port")).line).toBe(10);
  expect(locate(pathOf("spec.strategy.maxSurge")).line).toBe(5);
});

test("an object reads as what a person wrote of it", () => {
  const object = {
    kind: "Workload",
    metadata: { name: "web", uid: "u", resourceVersion: "7" },
    spec: { container: "web", replicas: 2 },
    status: { replicas: 2 },
  } as const;
  const text = textOf(structuredClone(object) as Parameters<typeof textOf>[0]);
  expect(text).not.toMatch(/uid|status|resourceVersion/);
  expect(problems(text)).toEqual([]);
});
