// Waiting for conditions, always with a deadline.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

// Generous: it only decides how long a broken server takes to be reported as such.
export const DEADLINE_S = 30;

/** Polls until `condition()` resolves to something truthy and returns that; fails after `withinS` seconds. */
export async function eventually(condition, what, withinS = DEADLINE_S) {
  const deadline = Date.now() + withinS * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `${what} did not come true within ${withinS} s; last value: ${value}`);
    await pause(10);
  }
}
