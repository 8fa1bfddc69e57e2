// What an engineer does on the pages besides deciding and scaling: read marks, search and correct what was learned, hold
// the stream still and take it along.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { go } from "./page.mjs";

/** The load, with the incidents on its time axis, also after a reload: the controller has kept it. */
export async function measuring(page, base, workload) {
  await page.goto(`${base}/metrics?q=${workload}`);
  const memory = page.getByRole("img", { name: /^Memory against its limit: Memory \d/ }).first();
  await memory.waitFor();
  await memory.locator("canvas").waitFor();
  const marks = page.getByRole("list", { name: "Marks" }).first().getByRole("listitem");
  const incidents = marks.filter({ hasText: "▲" });
  await incidents.nth(2).waitFor();
  const points = Number(await memory.getAttribute("data-points"));
  assert.ok(points > 3, `what was measured before the reload is there: ${points}`);
}

/** A detector, from the list to the curve with its threshold, and a part of that. */
export async function detecting(page, name) {
  await go(page, "/detectors");
  const row = page.locator("a[data-row]", { hasText: name });
  await row.getByText("Quiet").waitFor();
  await row.click();
  const chart = page.getByRole("img", { name: /^Memory, of its limit: .* threshold 99 % of the limit/ });
  await chart.waitFor();
  await chart.locator("canvas").waitFor();
  const range = page.getByRole("group", { name: "Time range" });
  await range.getByRole("button", { name: "24 h" }).click();
  await page.waitForURL("**/detectors/**range=24h");
  await range.getByRole("button", { name: "15 min" }).click();
  const { x, y, width, height } = await chart.boundingBox();
  await page.mouse.move(x + width * 0.4, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.8, y + height / 2, { steps: 4 });
  await page.mouse.up();
  await page.getByRole("button", { name: /^Reset zoom/ }).click();
  await page.getByRole("button", { name: /^Reset zoom/ }).waitFor({ state: "detached" });
}

/** A silence from its beginning to its end, and an incident in between: on its row and page, with what a person wrote as text. */
export async function silencing(page, workload, incident) {
  const reason = "<b>new disks</b>";
  const dialog = page.getByRole("dialog");
  await go(page, "/silences");
  await page.getByText("Nothing is silenced").waitFor();
  await page.getByRole("button", { name: "New silence" }).click();
  await dialog.getByLabel("Workload").selectOption(workload);
  await dialog.getByLabel("Reason").fill(reason);
  await dialog.getByRole("button", { name: "Silence", exact: true }).click();
  await dialog.waitFor({ state: "detached" });
  const silence = page.getByRole("list", { name: "Silences" }).getByRole("listitem");
  await silence.getByText(reason).waitFor();
  await incident("while-silenced");
  await go(page, "/incidents");
  const row = page.locator('a[data-row][href$="/while-silenced"]');
  await row.getByText("Silenced by admin").waitFor();
  await row.click();
  const note = page.getByRole("region", { name: "Silenced" });
  await note.getByText(/^People are not notified of it: silence .* of admin, <b>new disks<\/b>$/).waitFor();
  await note.getByText("expires").waitFor();
  await note.getByText("Ended silenced").waitFor();
  await note.getByRole("link").click();
  await page.waitForURL("**/silences");
  await silence.getByRole("button", { name: "End" }).click();
  await dialog.getByRole("button", { name: "End silence" }).click();
  await dialog.waitFor({ state: "detached" });
  await silence.getByText("expired", { exact: false }).first().waitFor();
}

/** From the map to the workload. */
export async function finding(page, workload) {
  await go(page, "/topology");
  await page.locator(`[data-node="${workload}"]`).click();
  await page.waitForURL(`**/workloads/${workload}`);
}

/** What was learned is found by its likeness, corrected, and deleted after a question. */
export async function learning(page, api) {
  await go(page, "/runbook");
  const rows = page.getByRole("list", { name: "Entries" }).locator("button[data-row]");
  await rows.nth(1).waitFor();
  const before = await rows.count();
  await page.getByLabel("Search the runbook as the analyst does").fill("memory passed the threshold");
  await rows.first().getByText("similar").waitFor();
  await page.getByLabel("Search the runbook as the analyst does").fill("");
  await rows.first().click();
  await page.getByRole("button", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Why", { exact: true }).fill("It frees what leaked, says a person.");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("says a person.").first().waitFor();
  const { items } = await api("runbookentries");
  assert.ok(items.some(({ spec }) => spec.justification?.endsWith("says a person.")));
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByText("The next analysis no longer knows").waitFor();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await dialog.waitFor({ state: "detached" });
  await rows.nth(before - 1).waitFor({ state: "detached" });
}

/** The stream is held still while more comes, goes on, and is taken along as it came. */
export async function listening(page, incident) {
  await go(page, "/events");
  const list = page.getByRole("list", { name: "Events" });
  await list.locator("button[data-row]").first().waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await incident("while-held");
  await page.getByRole("button", { name: /^Go on \([1-9]\d* new\)$/ }).waitFor();
  assert.equal(await list.getByText("Incident while-held").count(), 0, "what is held still stays");
  await page.getByRole("button", { name: /^Go on/ }).click();
  await page.getByLabel("Filter events").fill("while-held");
  await list.getByText("while-held").first().waitFor();
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const lines = readFileSync(await (await coming).path(), "utf8")
    .trim()
    .split("\n");
  const frames = lines.map((line) => JSON.parse(line));
  const sure = frames.filter(({ type }) => type !== "gap");
  assert.ok(sure.length > 0, "there is something in the file");
  for (const frame of sure) assert.ok(frame.seq > 0 && JSON.stringify(frame).includes("while-held"));
  await page.getByLabel("Filter events").fill("");
}
