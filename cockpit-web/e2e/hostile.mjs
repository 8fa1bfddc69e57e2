// Hostile pages beside the cockpit in the browser of somebody who is logged in, of another port of its host and of another
// name; and hostile texts on its own pages. Fails with the first that gets anything.

import assert from "node:assert/strict";
import { launch } from "./browser.mjs";
import { fits, login, open } from "./page.mjs";

const { COCKPIT_URL: base, ADMIN_TOKEN: token, VIEWERS_LINK: link, WORKLOAD: workload } = process.env;

/** Another program of the same host, which is sent the cookie and can set some; and a page from anywhere. */
const NEAR = base.replace(/:\d+$/, ":9999");
const ORIGINS = [NEAR, "http://evil.localhost:9999"];
const GROUP = "/api/apis/aegisops.io/v1alpha1/namespaces/default";

/** A hostile page: no server is needed for it. */
async function hostile(context, origin, headers = {}) {
  const page = await context.newPage();
  const body = "<!doctype html><title>evil</title><body></body>";
  await page.route(`${origin}/**`, (route) => route.fulfill({ contentType: "text/html", headers, body }));
  await page.goto(`${origin}/`);
  return page;
}

const who = (page) =>
  page.evaluate(async () => {
    const headers = { "x-csrf-token": sessionStorage.getItem("aegis-session") ?? "" };
    const answer = await fetch("/api/auth/session", { headers });
    return answer.ok ? (await answer.json()).user : answer.status;
  });

const overview = (page) => page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();

/** Reads, changes, connects, includes: everything that a page can send without being allowed to. */
async function sends(page) {
  return page.evaluate(
    async ([base, group, workload]) => {
      const got = [];
      const object = `${group}/workloads/${workload}`;
      const bodies = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json",
      ];
      const tries = [
        ["GET", "/api/auth/session"],
        ["GET", object],
        ["DELETE", object],
        ["PATCH", object],
        ...["/auth/logout", "/auth/once", "/automation/pause", "/scale/up", "/webhook"].flatMap((path) =>
          bodies.map((kind) => ["POST", `/api${path}`, kind]),
        ),
      ];
      for (const [method, path, kind] of tries) {
        for (const mode of ["cors", "no-cors"]) {
          const headers = kind ? { "content-type": kind } : {};
          const body = kind ? '{"reason":"csrf"}' : undefined;
          try {
            const answer = await fetch(base + path, { method, mode, headers, body, credentials: "include" });
            if (answer.type !== "opaque") got.push(`${method} ${path} ${kind} ${mode}: ${answer.status}`);
          } catch {
            // Which is what was wanted.
          }
        }
      }
      navigator.sendBeacon(`${base}/api/automation/pause`, '{"reason":"csrf"}');
      for (const protocols of [[], ["aegis.v1"], ["aegis.session.x"], ["aegis.bearer.x"]]) {
        const opened = await new Promise((say) => {
          const socket = new WebSocket(`${base.replace("http", "ws")}/ws`, protocols);
          socket.onopen = () => say(true);
          socket.onerror = () => say(false);
        });
        if (opened) got.push(`a live connection with ${protocols}`);
      }
      for (const [tag, attribute, path] of [
        ["script", "src", "/api/auth/session"],
        ["script", "src", "/api/docs"],
        ["script", "src", "/assets/none.js"],
        ["img", "src", "/icon.svg"],
        ["link", "href", "/api/docs/style.css"],
      ]) {
        const loaded = await new Promise((say) => {
          const element = document.createElement(tag);
          if (tag === "link") element.rel = "stylesheet";
          element[attribute] = base + path;
          element.onload = () => say(true);
          element.onerror = () => say(false);
          document.body.append(element);
        });
        if (loaded) got.push(`${tag} ${path}`);
      }
      return got;
    },
    [base, GROUP, workload],
  );
}

/** No page of ours is framed, and one that is opened has no opener. */
async function looks(context, page) {
  for (const path of ["/", "/login", "/api/docs", "/api/health", "/assets/none"]) {
    await page.evaluate(
      (address) =>
        new Promise((loaded) => {
          const frame = document.createElement("iframe");
          frame.onload = loaded;
          frame.src = address;
          document.body.append(frame);
        }),
      base + path,
    );
    const framed = page.frames().filter((frame) => frame.url().startsWith(base));
    assert.deepEqual(
      framed.map((frame) => frame.url()),
      [],
      `${path} in a frame`,
    );
  }
  const opening = context.waitForEvent("page");
  await page.evaluate((address) => {
    globalThis.opened = window.open(address, "named");
  }, `${base}/`);
  const popup = await opening;
  await overview(popup);
  assert.equal(await popup.evaluate(() => window.opener), null);
  assert.equal(await page.evaluate(() => globalThis.opened.closed), true, "it is out of reach");
  await popup.close();
  const heard = await page.evaluate(
    () =>
      new Promise((say) => {
        const channel = new BroadcastChannel("aegis-session");
        channel.onmessage = ({ data }) => say(data);
        channel.postMessage({ type: "ask" });
        const ping = new BroadcastChannel("evil");
        const pong = new BroadcastChannel("evil");
        pong.onmessage = () => say(null);
        ping.postMessage("");
      }),
  );
  assert.equal(heard, null, "what tabs say to each other stays among them");
}

/** Cookies of another port: those for deeper paths change nothing; one that replaces ours costs a login, and no more. */
async function cookies(context, page) {
  const evil = await hostile(context, NEAR);
  await evil.evaluate((group) => {
    const parts = group.split("/");
    for (let depth = 2; depth <= parts.length; depth++) {
      for (const end of ["", "/"]) {
        const path = parts.slice(0, depth).join("/") + end;
        // biome-ignore lint/suspicious/noDocumentCookie: what another program of the host does
        document.cookie = `aegis_session=${"0".repeat(64)}; path=${path}`;
      }
    }
  }, GROUP);
  await page.reload();
  await overview(page);
  await page.goto(`${base}/workloads`);
  await page.getByRole("link", { name: workload }).first().waitFor();
  await evil.close();

  const fixed = await hostile(context, NEAR, {
    "set-cookie": `aegis_session=${"1".repeat(64)}; Path=/; HttpOnly`,
  });
  assert.equal(await who(page), 401, "a session of somebody else is not taken up");
  await fixed.close();
  await login(page, base, token);
  assert.equal(await who(page), "admin");
}

/** A link of somebody else logs no browser in that has not confirmed it, and no address leads elsewhere. */
async function addresses(context, page) {
  const tab = await context.newPage();
  await tab.goto(`${base}/api${link}`);
  await tab.getByRole("heading", { name: "You are logged in as admin" }).waitFor();
  assert.equal(await who(page), "admin");
  await tab.close();
  for (const path of [
    "/login?next=//evil.localhost:9999",
    "/login?next=javascript:alert(1)",
    "/login?next=http://evil.localhost:9999/",
    "/login#once=javascript:alert(1)",
    "//evil.localhost:9999/",
    "/%2f%2fevil.localhost:9999",
    "/workloads/<img src=x onerror=alert(1)>",
    "/incidents/%22%3E%3Csvg onload=alert(1)%3E",
    "/workloads/javascript:alert(1)",
    "/workloads/__proto__",
    "/?__proto__[polluted]=1&constructor[prototype][polluted]=1",
  ]) {
    const { page: visited, wrong } = await beside(context);
    await visited.goto(base + path);
    await visited.locator("h1, main, form").first().waitFor();
    assert.ok(visited.url().startsWith(`${base}/`), `${path} leads to ${visited.url()}`);
    assert.equal(await visited.evaluate(() => ({}).polluted), undefined, path);
    assert.deepEqual(wrong, [], path);
    await visited.close();
  }
  assert.equal(await who(page), "admin");
}

/** A further tab of the victim, of which it is noted what it should not do. */
async function beside(context) {
  const page = await context.newPage();
  const wrong = [];
  page.on("dialog", (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) wrong.push(`a call elsewhere: ${request.url()}`);
  });
  await page.addInitScript(() =>
    addEventListener("securitypolicyviolation", ({ violatedDirective }) =>
      console.error(`refused by the policy: ${violatedDirective}`),
    ),
  );
  page.on("console", (message) => {
    if (message.text().startsWith("refused by")) wrong.push(message.text());
  });
  return { page, wrong };
}

const MARKUP = `"><img src=x onerror=alert(1)><script>alert(2)</script><svg/onload=alert(3)>`;
const TEXT = `${MARKUP} [x](javascript:alert(4)) </style><style>*{display:none}</style> \u202egnp.exe ${"W".repeat(300)}`;

async function put(kind, plural, name, spec) {
  const object = {
    apiVersion: "aegisops.io/v1alpha1",
    kind,
    metadata: { name, annotations: { note: TEXT, link: "javascript:alert(5)" } },
    spec,
  };
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${base}${GROUP}/${plural}`, {
    method: "POST",
    headers,
    body: JSON.stringify(object),
  });
  assert.ok(answer.ok, `${kind}: ${answer.status} ${await answer.clone().text()}`);
}

/** Texts of alerts, people and files are text wherever they are shown. */
async function texts(context) {
  const alert = { workloadRef: workload, alertType: MARKUP, severity: "critical", logs: TEXT };
  await put("Incident", "incidents", "hostile", alert);
  const until = new Date(Date.now() + 3_600_000).toISOString();
  await put("Silence", "silences", "hostile", {
    alertTypes: [MARKUP],
    owner: TEXT.slice(0, 120),
    reason: TEXT.slice(0, 200),
    until,
  });
  const learned = {
    alertType: MARKUP,
    action: "NOOP",
    confidence: 0.9,
    incidentId: "hostile",
    rootCause: TEXT,
    logs: TEXT,
  };
  await put("RunbookEntry", "runbookentries", "hostile", learned);
  for (const path of [
    "/",
    "/incidents",
    "/incidents/hostile",
    `/workloads/${workload}`,
    "/runbook",
    "/silences",
    "/events",
    "/manifests",
  ]) {
    const { page, wrong } = await beside(context);
    await page.goto(base + path);
    await page.locator("main h1").first().waitFor();
    if (path === "/incidents/hostile") await page.getByText("onerror=alert(1)").first().waitFor();
    const found = await page.evaluate(() => ({
      made: document.querySelectorAll("img[onerror], svg[onload], main script, main style").length,
      links: [...document.querySelectorAll("a[href]")]
        .map((anchor) => anchor.href)
        .filter((address) => !address.startsWith(location.origin)),
    }));
    assert.deepEqual(found, { made: 0, links: [] }, path);
    await fits(page, path);
    assert.deepEqual(wrong, [], path);
    await page.close();
  }
}

// As on the browser's own host, or with TLS: elsewhere no browser heeds who may open a page.
const browser = await launch([`--unsafely-treat-insecure-origin-as-secure=${base}`]);
try {
  const { page, wrong } = await open(browser, base);
  const context = page.context();
  await login(page, base, token);
  for (const origin of ORIGINS) {
    const evil = await hostile(context, origin);
    assert.deepEqual(await sends(evil), [], `what a page of ${origin} got`);
    await looks(context, evil);
    await evil.close();
    assert.equal(await who(page), "admin", `${origin} logs no one out`);
  }
  await cookies(context, page);
  await addresses(context, page);
  await texts(context);
  assert.deepEqual(wrong, []);
} finally {
  await browser.close();
}
process.exit(0);
