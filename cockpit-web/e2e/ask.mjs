// What only the test around the browser can do is requested in a line, and answered by one.

import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function ask(what) {
  console.log(`@ ${what}`);
  const { value } = await lines.next();
  if (value !== "done") throw new Error(`${what}: ${value ?? "no answer"}`);
}
