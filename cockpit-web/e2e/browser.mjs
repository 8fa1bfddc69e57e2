// The browser: Debian's Chromium, without a screen and without calls of its own.

import { chromium } from "playwright-core";

export function launch(further = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", ...further],
  });
}
