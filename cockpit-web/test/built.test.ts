// What a browser is given: small enough at first, from nowhere else, and made from the types that are committed.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";

const FIRST_LOAD_LIMIT = 300 * 1024;

let dist: string;

beforeAll(() => {
  dist = mkdtempSync(join(tmpdir(), "aegis-cockpit-"));
  execFileSync(
    "node",
    ["node_modules/vite/bin/vite.js", "build", "--outDir", dist, "--emptyOutDir", "--logLevel", "error"],
    {
      env: { ...process.env, NODE_ENV: "production" },
    },
  );
}, 120_000);

afterAll(() => rmSync(dist, { recursive: true, force: true }));

const page = () => readFileSync(join(dist, "index.html"), "utf8");

/** The scripts of the page, and whatever those import before they run. */
function firstScripts(): string[] {
  const pending = [...page().matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map(([, path]) => path ?? "");
  const found = new Set<string>();
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (found.has(path)) continue;
    found.add(path);
    const code = readFileSync(join(dist, path), "utf8");
    for (const [, file] of code.matchAll(/(?:import|from)\s*"\.\/([^"]+\.js)"/g))
      pending.push(`/assets/${file}`);
  }
  return [...found];
}

test("the first load is under 300 KB of compressed script", () => {
  const scripts = firstScripts();
  expect(scripts.length).toBeGreaterThan(0);
  const size = scripts.reduce((sum, path) => sum + gzipSync(readFileSync(join(dist, path))).length, 0);
  expect(size).toBeLessThan(FIRST_LOAD_LIMIT);
});

test("the editor is not part of the first load", () => {
  const all = readdirSync(join(dist, "assets"));
  expect(all.some((name) => name.startsWith("editor-"))).toBe(true);
  expect(firstScripts().some((path) => path.includes("editor-"))).toBe(false);
});

test("the page holds no inline script and no inline style, and names no other host", () => {
  const html = page();
  expect(html).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>/);
  expect(html).not.toMatch(/<style|\sstyle=|\son\w+=/);
  expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
  const css = readdirSync(join(dist, "assets")).filter((name) => name.endsWith(".css"));
  for (const name of css) {
    expect(readFileSync(join(dist, "assets", name), "utf8")).not.toMatch(/url\(\s*["']?(https?:|\/\/|data:)/);
  }
});

test("the types are those of the committed OpenAPI document: otherwise run `make openapi`", () => {
  const cli = "node_modules/openapi-typescript/bin/cli.js";
  const { api } = (JSON.parse(readFileSync("package.json", "utf8")) as { scripts: { api: string } }).scripts;
  execFileSync("node", [cli, ...api.split(" ").slice(1), "--check"], { stdio: "pipe" });
});

test("what npm fetches is pinned by its hash, and no registry is named", () => {
  type Entry = { integrity?: string; resolved?: string; optional?: boolean; os?: string[]; libc?: string[] };
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, Entry> };
  const packages = Object.entries(lock.packages).filter(([name]) => name !== "");
  expect(packages.filter(([, { resolved }]) => resolved)).toEqual([]);
  // Of other systems than the one that builds it, npm may know no hash.
  const elsewhere = ({ optional, os, libc, cpu }: Entry & { cpu?: string[] }) =>
    optional &&
    (!os?.includes("linux") || libc?.includes("musl") || !cpu?.some((one) => /^(x|arm)64$/.test(one)));
  expect(packages.filter(([, entry]) => !entry.integrity && !elsewhere(entry)).map(([name]) => name)).toEqual(
    [],
  );
});
