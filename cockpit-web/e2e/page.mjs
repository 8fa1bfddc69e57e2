// The page as a person uses it, and what is watched all the while: errors, refused scripts and styles, calls elsewhere.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/**
 * What a browser logs of answers that a scenario provokes, and of what it gives up itself because a network of containers
 * has come or gone on this host: the page repeats that, and what it does not repeat a scenario misses.
 */
const EXPECTED =
  /status of (4\d\d|50[234])|ERR_(CONNECTION|EMPTY|INCOMPLETE|NETWORK_CHANGED)|WebSocket connection|Cross-Origin-Opener-Policy/;

export async function open(browser, base, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  // Says where it came from, which the browser's own words do not.
  await page.addInitScript(() =>
    addEventListener(
      "securitypolicyviolation",
      ({ violatedDirective, sourceFile, lineNumber, columnNumber }) =>
        console.error(
          `refused by the policy: ${violatedDirective} at ${sourceFile}:${lineNumber}:${columnNumber}`,
        ),
    ),
  );
  page.on("pageerror", (error) => wrong.push(`error on the page: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !EXPECTED.test(message.text())) wrong.push(message.text());
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith(base.replace("http", "ws")) && !/^(blob|data):/.test(url)) {
      wrong.push(`a call elsewhere: ${url}`);
    }
  });
  page.setDefaultTimeout(30_000);
  return { page, wrong, close: () => context.close() };
}

/** To another page the way a click goes: without a reload. */
export async function go(page, path) {
  await page.evaluate((to) => {
    history.pushState({}, "", to);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);
}

export async function login(page, base, token) {
  await page.goto(`${base}/login`);
  await page.getByLabel("Access token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

/** The findings that keep somebody from using it. What fades in would be judged half faded: motion is off meanwhile. */
export async function barriers(page, where) {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.evaluate(`${AXE}; undefined`);
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map(({ finished }) => finished)));
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      resultTypes: ["violations"],
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }),
  );
  await page.emulateMedia({ reducedMotion: null });
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const place = (node) => `    ${node.target.join(" ")} ${node.any[0]?.message ?? ""}`;
  return serious.map(({ id, help, nodes }) =>
    [`${where}: ${id}: ${help}`, ...nodes.slice(0, 4).map(place)].join("\n"),
  );
}

/** Nothing is cut off at the side. */
export async function fits(page, where) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 1, `${where} is ${over} px wider than the screen`);
}

export const chip = (page, word) => page.getByRole("main").getByText(word, { exact: true }).first();
