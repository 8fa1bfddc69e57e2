// The dashboard in a browser that runs no scripts: what it shows, what it says while the controller is away, and after.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { ask } from "./ask.mjs";
import { launch } from "./browser.mjs";
import { barriers, fits, open } from "./page.mjs";

const { DASHBOARD_URL: base, WORKLOAD: workload, SHOTS: shots } = process.env;

/** Light and dark, wide and narrow; the page that stands still, which a reader can take the time for. */
async function looks(browser, state) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, width, height] of [
      ["wall", 3840, 2160],
      ["wide", 1440, 900],
      ["narrow", 360, 780],
    ]) {
      const { page, wrong, close } = await open(browser, base, {
        colorScheme,
        viewport: { width, height },
        bypassCSP: true,
      });
      await page.goto(`${base}/?still`);
      const where = `the dashboard ${state}, ${colorScheme} ${size}`;
      found.push(...(await barriers(page, where)));
      await fits(page, where);
      if (shots) {
        mkdirSync(shots, { recursive: true });
        await page.screenshot({ path: `${shots}/dashboard-${state}-${colorScheme}-${size}.png` });
      }
      assert.deepEqual(wrong, []);
      await close();
    }
  }
  assert.deepEqual(found, [], `what axe found:\n${found.join("\n")}`);
}

const browser = await launch();
try {
  const { page, wrong } = await open(browser, base, { javaScriptEnabled: false });
  const answer = await page.goto(base);
  assert.match(answer.headers()["content-security-policy"], /default-src 'none'/);
  await page.getByRole("cell", { name: workload, exact: true }).first().waitFor();
  await page.getByRole("cell", { name: "RESOLVED", exact: true }).waitFor();
  assert.ok((await page.getByRole("img", { name: "CPU, last minutes" }).count()) > 0);
  assert.ok((await page.getByRole("img", { name: "Memory, last minutes" }).count()) > 0);
  await looks(browser, "live");

  await ask("kill-controller");
  // The page reloads itself, without an input.
  await page.getByText("The controller is away since").waitFor();
  await page.getByText("What follows is old").waitFor();
  await page.getByRole("cell", { name: "RESOLVED", exact: true }).waitFor();
  await looks(browser, "away");

  await ask("start-controller");
  await page.getByText("The controller is away since").waitFor({ state: "detached" });
  await page.getByRole("cell", { name: "RESOLVED", exact: true }).waitFor();
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
}
process.exit(0);
