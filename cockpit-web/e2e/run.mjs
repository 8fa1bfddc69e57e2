// The scenarios of the cockpit, in one browser against one stack. Fails with the first thing that is not as it should be.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { ask } from "./ask.mjs";
import { launch } from "./browser.mjs";
import { barriers, chip, fits, go, login, open } from "./page.mjs";
import { detecting, finding, learning, listening, measuring, silencing } from "./pages.mjs";

const {
  COCKPIT_URL: base,
  ADMIN_TOKEN: token,
  WORKLOAD: workload,
  BALANCER: balancer,
  SHOTS: shots,
} = process.env;

const group = "/api/apis/aegisops.io/v1alpha1/namespaces/default";

async function api(method, path, body, type = "application/json") {
  const answer = await fetch(base + path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": type },
    body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
  return answer.json();
}

const merge = (path, body) => api("PATCH", group + path, body, "application/merge-patch+json");

const incident = (name, spec = {}) =>
  api("POST", `${group}/incidents`, {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Incident",
    metadata: { name },
    spec: { workloadRef: workload, alertType: "memory_leak", severity: "critical", ...spec },
  });

/** One that watches and never fires. */
const detector = "far-from-full";
const watch = () =>
  api("POST", `${group}/detectors`, {
    apiVersion: "aegisops.io/v1alpha1",
    kind: "Detector",
    metadata: { name: detector },
    spec: { workloads: { names: [workload] }, signal: "Memory", threshold: 99, alertType: "MEMORY_FULL" },
  });

/** Who may only look sees why, and the server says the same. */
async function viewer(browser) {
  const { page, wrong, close } = await open(browser, base);
  await page.goto(`${base}/workloads/${workload}`);
  const scale = page.getByRole("button", { name: "Scale" });
  await scale.waitFor();
  assert.equal(await scale.getAttribute("aria-disabled"), "true");
  const reason = await page.locator(`[id="${await scale.getAttribute("aria-describedby")}"]`).textContent();
  assert.match(reason, /role is viewer/);
  await scale.click({ force: true });
  assert.equal(await page.getByRole("dialog").count(), 0, "a blocked button opens nothing");
  const code = await page.evaluate(
    async ([path]) =>
      (
        await fetch(path, {
          method: "PATCH",
          headers: { "content-type": "application/merge-patch+json" },
          body: '{"spec":{"replicas":3}}',
        })
      ).status,
    [`${group}/workloads/${workload}`],
  );
  assert.equal(code, 403);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByLabel("Access token").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  assert.match(await page.getByRole("alert").textContent(), /not known/);
  assert.deepEqual(wrong, []);
  await close();
}

/** A link logs in once, leaves no code in the address, and then says why it does not. */
async function link(browser) {
  const { path } = await api("POST", "/api/auth/once");
  const first = await open(browser, base);
  await first.page.goto(`${base}/api${path}`);
  await first.page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  assert.equal(first.page.url(), `${base}/`);
  assert.deepEqual(first.wrong, []);
  await secondTab(first.page);
  await first.close();
  const second = await open(browser, base);
  const answer = await second.page.goto(`${base}/api${path}`);
  assert.equal(answer.status(), 401);
  await second.page.getByText("used or has expired").waitFor();
  await second.close();
  await ask(`forget ${path.split("=")[1]}`);
}

/** The cookie alone, which every port of this host is sent, is worth nothing; a reload and a second tab go on. */
async function secondTab(page) {
  const alone = await page.evaluate(async () => (await fetch("/api/auth/session")).json());
  assert.notEqual(alone.user, "admin", "the cookie alone is no session");
  await page.reload();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const second = await page.context().newPage();
  await second.goto(base);
  await second.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const secret = (tab) => tab.evaluate(() => sessionStorage.getItem("aegis-session"));
  assert.equal(await secret(second), await secret(page), "the first tab gave it");
  await second.close();
}

/** From the patient's cry for help to the proof, each stage on the page. */
async function healing(page) {
  await go(page, "/incidents");
  await page.getByText("No incidents").waitFor();
  await ask("fill-memory");
  await page.locator("a[data-row]").first().click();
  const writing = page.locator("[data-testid=reasoning] > p[aria-hidden]");
  await writing.waitFor();
  const lengths = new Set();
  const start = Date.now();
  for (let last = -1; Date.now() - start < 20_000; ) {
    const length = (await writing.textContent()).replace("▍", "").length;
    lengths.add(length);
    if (length > 0 && length === last && (await writing.locator("span").count()) === 0) break;
    last = length;
  }
  assert.ok(lengths.size >= 3, `the reasoning grew in ${lengths.size} steps: ${[...lengths]}`);
  await chip(page, "Verified").waitFor();
  const stages = await page
    .locator("[data-stage]")
    .evaluateAll((rows) => rows.map((row) => row.dataset.stage));
  for (const stage of [
    "RECEIVED",
    "EVIDENCE_COLLECTED",
    "RAG_RETRIEVAL",
    "ANALYSING",
    "AI_COMPLETE",
    "COUNCIL_REVIEW",
    "COUNCIL_VOTE",
    "COUNCIL_DECISION",
    "POLICY_GATE",
    "APPROVED",
    "EXECUTING",
    "RESTARTED",
    "VERIFYING",
    "RESOLVED",
  ]) {
    assert.ok(stages.includes(stage), `${stage} is not among ${stages}`);
  }
  assert.equal(await page.locator("[data-seat]").getByText("Approved").count(), 3);
  assert.ok((await page.locator("[data-attempt]").count()) >= 1);
  await chip(page, "Resolved").waitFor();
}

/** Out and in again; replicas and the load balancer follow. */
async function scaling(page) {
  await go(page, `/workloads/${workload}`);
  const scale = async (to, says, verb) => {
    await page.getByRole("button", { name: "Scale", exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Replicas").fill(String(to));
    await dialog.getByText(says).waitFor();
    const steps = await dialog.getByRole("listitem").allTextContents();
    await dialog.getByRole("button", { name: verb }).click();
    await dialog.waitFor({ state: "detached" });
    return steps;
  };
  const made = await scale(3, "Nothing that runs is stopped.", "Scale out");
  const healthy = page.locator("[data-instance]").filter({ hasText: "Healthy" });
  await healthy.nth(2).waitFor();
  // The containers that are there are those that were foreseen.
  assert.equal(made.length, 2, `${made}`);
  for (const step of made) {
    assert.match(step, / is made$/);
    await healthy.filter({ hasText: step.replace(/ is made$/, "") }).waitFor();
  }
  await go(page, `/load-balancers/${balancer}`);
  await page.locator("[data-server]").nth(2).waitFor();
  await go(page, `/workloads/${workload}`);
  const gone = await scale(1, /^No request is dropped: .* drains each container/, "Scale in");
  assert.deepEqual(
    gone.map((step) => step.replace(/ stops and is removed$/, " is made")).sort(),
    made.sort(),
  );
  await page.locator("[data-instance]").nth(1).waitFor({ state: "detached" });
  await go(page, `/load-balancers/${balancer}`);
  await page.locator("[data-server]").nth(1).waitFor({ state: "detached" });
}

/** A plan that requires approval: no, and then yes. */
async function deciding(page) {
  await merge(`/remediationpolicies/${workload}`, { spec: { mode: "Approve" } });
  await ask("fill-memory");
  await go(page, "/incidents?show=approval");
  await page.locator("a[data-row]").first().click();
  await page.getByText("This plan requires approval.").waitFor();
  await page.getByRole("button", { name: "Reject" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Reject" }).click();
  await chip(page, "Failed").waitFor();

  await incident("to-approve");
  await go(page, "/incidents/to-approve");
  await page.getByText("This plan requires approval.").waitFor();
  await page.getByRole("button", { name: "Approve" }).click();
  const dialog = page.getByRole("dialog");
  const { status } = await api("GET", `${group}/incidents/to-approve`);
  await dialog.getByText(status.plan.hash).waitFor();
  await dialog.getByText(/ is restarted$/).waitFor();
  await dialog.getByRole("button", { name: "Approve" }).click();
  await chip(page, "Resolved").waitFor();
  await merge(`/remediationpolicies/${workload}`, { spec: { mode: "Auto" } });
}

/** Automation is paused on the page, an incident waits, and goes on once it is resumed there. */
async function pausing(page) {
  await go(page, "/");
  const dialog = page.getByRole("dialog");
  await page.getByRole("main").getByRole("button", { name: "Pause automation" }).click();
  await dialog.getByLabel("Reason").fill("the switch is replaced");
  await dialog.getByLabel("For").selectOption("1 hour");
  await dialog.getByRole("button", { name: "Pause automation" }).click();
  await dialog.waitFor({ state: "detached" });
  const banner = page.getByRole("complementary", { name: "Automation is paused" });
  await banner.getByText("is paused by admin").waitFor();
  await ask("fill-memory");
  await go(page, "/incidents?show=approval");
  await page.locator("a[data-row]").first().click();
  await page.getByText("This plan requires approval.").waitFor();
  await banner.getByText("the switch is replaced. It goes on by itself in").waitFor();
  for (const [width, height] of [
    [360, 780],
    [1440, 900],
  ]) {
    await page.setViewportSize({ width, height });
    await fits(page, `a paused page, ${width} px`);
    assert.deepEqual(await barriers(page, `a paused page, ${width} px`), []);
  }
  await banner.getByRole("button", { name: "Resume automation" }).click();
  await dialog.getByRole("button", { name: "Resume automation" }).click();
  await banner.waitFor({ state: "detached" });
  await chip(page, "Resolved").waitFor();
}

/** A mistake that the schema knows, one that only the server knows, and an edit that is taken. */
async function editing(page) {
  await go(page, `/manifests/Workload/${workload}`);
  const editor = page.locator(".cm-content");
  await editor.waitFor();
  const manifest = (spec) =>
    `apiVersion: aegisops.io/v1alpha1\nkind: Workload\nmetadata:\n  name: ${workload}\nspec:\n  container: ${workload}\n  replicas: 1\n${spec}`;
  const health =
    "  health:\n    http:\n      path: /health\n      port: 8000\n    interval: 500ms\n    timeout: 500ms\n";
  const problems = page.getByRole("list", { name: "Problems" });
  const write = async (text) => {
    await editor.click();
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.press("Delete");
    await page.keyboard.insertText(text);
  };
  await write(manifest(`${health}  strat`));
  await page.keyboard.press("Control+Space");
  await page.getByRole("option", { name: /^strategy/ }).waitFor();
  await page.keyboard.press("Escape");
  await write(manifest(`${health}  replcas: 3\n`));
  await problems.locator('[data-line="14"]').getByText("there is no field replcas").waitFor();
  assert.equal(await page.getByRole("button", { name: "Apply" }).getAttribute("aria-disabled"), "true");
  await write(manifest(`  strategy:\n    maxSurge: 0\n    maxUnavailable: 0\n${health}`));
  await problems.locator('[data-line="10"]').getByText("cannot both be 0").waitFor();
  await write(manifest(`  strategy:\n    maxSurge: 2\n${health}`));
  await page.getByText("the server would take it").waitFor();
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
  await page.getByText("as it is live", { exact: true }).waitFor();
  const { spec } = await api("GET", `${group}/workloads/${workload}`);
  assert.equal(spec.strategy.maxSurge, 2);
}

/** The controller dies and comes back; the page says so, and then knows what happened meanwhile. */
async function losing(page) {
  await go(page, "/incidents");
  await ask("kill-controller");
  await page.getByText("The controller does not answer.").waitFor();
  await ask("start-controller");
  await incident("while-away", { override: { action: "RESTART", by: "a test" } });
  await page.getByRole("status").getByText("Live", { exact: true }).first().waitFor();
  const who = await page.evaluate(async () => {
    const headers = { "x-csrf-token": sessionStorage.getItem("aegis-session") };
    return (await fetch("/api/auth/session", { headers })).json();
  });
  assert.equal(who.user, "admin", "the user who was logged in still is");
  const row = page
    .locator("a[data-row]", { hasText: "while-away" })
    .or(page.locator('a[data-row][href$="/while-away"]'));
  await row.first().waitFor();
  await row.first().click();
  await chip(page, "Resolved").waitFor();
  await go(page, "/events");
  const list = page.getByRole("list", { name: "Events" });
  await list.waitFor();
  const seen = new Set();
  await page.getByLabel("Filter events").fill("while-away");
  await list.getByText("Incident while-away").first().waitFor();
  await page.getByLabel("Filter events").fill("");
  for (const row of await list.locator("button[data-row] span:last-child").allTextContents()) {
    assert.ok(!seen.has(row), `frame ${row} is shown twice`);
    seen.add(row);
  }
}

/** The keys alone lead everywhere. */
async function keyboard(page) {
  await go(page, "/");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("i");
  await page.getByRole("heading", { level: 1, name: "Incidents" }).waitFor();
  await page.keyboard.press("/");
  assert.equal(
    await page.evaluate(() => document.activeElement?.getAttribute("aria-label")),
    "Search incidents",
  );
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("list", { name: "Lifecycle" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

/** Every page, light and dark, on a wall, a desk and a phone. */
async function everyPage(browser) {
  const places = [
    "/",
    "/incidents",
    "/incidents/to-approve",
    "/incidents/while-silenced",
    "/silences",
    "/workloads",
    `/workloads/${workload}`,
    "/topology",
    "/detectors",
    `/detectors/${detector}`,
    "/metrics",
    "/metrics?range=24h",
    `/load-balancers/${balancer}`,
    "/runbook",
    "/manifests",
    `/manifests/Workload/${workload}`,
    "/events",
  ];
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
        reducedMotion: "reduce",
      });
      await page.goto(`${base}/login`);
      await page.getByRole("main").waitFor();
      found.push(...(await barriers(page, `the login, ${colorScheme} ${size}`)));
      await login(page, base, token);
      for (const place of places) {
        await go(page, place);
        await page.getByRole("main").getByRole("heading").first().waitFor();
        if (place.startsWith("/manifests/")) await page.locator(".cm-content").waitFor();
        // What a page requests again and again never comes to rest: it is not waited for.
        await page.waitForLoadState("networkidle", { timeout: 1500 }).catch(() => undefined);
        found.push(...(await barriers(page, `${place}, ${colorScheme} ${size}`)));
        await fits(page, `${place}, ${colorScheme} ${size}`);
        if (shots) {
          mkdirSync(shots, { recursive: true });
          const name =
            place
              .replaceAll(workload, "w")
              .replaceAll(balancer, "lb")
              .replace(/\W+/g, "-")
              .replace(/^-|-$/g, "") || "overview";
          await page.screenshot({ path: `${shots}/${name}-${colorScheme}-${size}.png`, caret: "initial" });
        }
      }
      assert.deepEqual(wrong, []);
      await close();
      console.log(`cockpit: every page, ${colorScheme} ${size}`);
    }
  }
  assert.deepEqual(found, [], `what axe found:\n${found.join("\n")}`);
}

const browser = await launch();
try {
  const step = async (name, work) => {
    const start = Date.now();
    await work();
    console.log(`cockpit: ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  };
  await step("a viewer can look and not change", () => viewer(browser));
  await step("a link that is good once", () => link(browser));
  const { page, wrong } = await open(browser, base);
  try {
    await step("log in", () => login(page, base, token));
    await step("an incident from alert to proof", () => healing(page));
    await step("scale out and in", () => scaling(page));
    await step("reject and approve a plan", () => deciding(page));
    await step("pause and resume automation", () => pausing(page));
    await step("edit a manifest", () => editing(page));
    await ask("use-memory");
    await step("the load and its marks", () => measuring(page, base, workload));
    await watch();
    await step("a detector and its curve", () => detecting(page, detector));
    await step("a silence and what it withholds", () =>
      silencing(page, workload, (name) => incident(name, { override: { action: "NOOP", by: "a test" } })),
    );
    await step("the map", () => finding(page, workload));
    await step("the controller is killed and comes back", () => losing(page));
    await step("the runbook", () => learning(page, (plural) => api("GET", `${group}/${plural}`)));
    await step("the stream", () =>
      listening(page, (name) => incident(name, { override: { action: "NOOP", by: "a test" } })),
    );
    await step("the keyboard alone", () => keyboard(page));
  } catch (error) {
    console.log(
      `at ${page.url()}:\n${(
        await page
          .getByRole("main")
          .innerText()
          .catch(() => "")
      ).slice(0, 3000)}`,
    );
    if (shots) await page.screenshot({ path: `${shots}/failed.png`, caret: "initial" });
    throw error;
  }
  assert.deepEqual(wrong, []);
  for (const { value } of await page.context().cookies()) await ask(`forget ${value}`);
  await ask(`forget ${await page.evaluate(() => sessionStorage.getItem("aegis-session"))}`);
  await step("every page, light and dark, on a wall, a desk and a phone", () => everyPage(browser));
} finally {
  await browser.close();
}
process.exit(0);
