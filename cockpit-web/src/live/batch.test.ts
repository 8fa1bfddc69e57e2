import { expect, test } from "vitest";
import { Batch } from "./batch";

/** A screen whose frames come on request, and a clock that each taken message moves. */
function screen(perMessage: number) {
  const works: (() => void)[] = [];
  let time = 0;
  const taken: number[] = [];
  const batch = new Batch({
    schedule: (work) => works.push(work),
    now: () => time,
    budget: 8,
    take: (messages) => {
      time += messages.length * perMessage;
      taken.push(messages.length);
    },
  });
  const frame = () => {
    const start = time;
    for (const work of works.splice(0)) work();
    return time - start;
  };
  return { batch, frame, taken, scheduled: () => works.length };
}

test("a second with a thousand frames is worked off in sixty batches, one a frame of the screen", () => {
  const { batch, frame, taken, scheduled } = screen(0.05);
  let longest = 0;
  for (let second = 0; second < 60; second++) {
    for (let n = 0; n < 1000 / 60; n++) batch.push(`{"n":${n}}`);
    expect(scheduled()).toBe(1);
    longest = Math.max(longest, frame());
  }
  expect(batch.waiting).toBe(0);
  expect(taken.length).toBe(60);
  expect(taken.reduce((sum, count) => sum + count)).toBe(60 * 17);
  expect(longest).toBeLessThan(8);
});

test("a flood holds up no frame of the screen for longer than the budget and one slice", () => {
  const { batch, frame } = screen(0.05);
  for (let n = 0; n < 50_000; n++) batch.push("{}");
  let frames = 0;
  while (batch.waiting > 0) {
    expect(frame()).toBeLessThanOrEqual(8 + 64 * 0.05);
    frames++;
  }
  expect(frames).toBeGreaterThan(200);
});

test("nothing is scheduled while nothing waits", () => {
  const { batch, frame, scheduled } = screen(0.05);
  batch.push("{}");
  frame();
  expect(scheduled()).toBe(0);
});
