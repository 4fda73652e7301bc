// Waiting for conditions, always with a deadline.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

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

/** Polls until `read()` gives exactly `expected`; fails with the difference after `withinS` seconds. */
export async function settles(read, expected, withinS = DEADLINE_S) {
  const deadline = Date.now() + withinS * 1000;
  for (;;) {
    const value = await read();
    if (isDeepStrictEqual(value, expected)) return;
    if (Date.now() >= deadline) assert.deepStrictEqual(value, expected);
    await pause(10);
  }
}

/** The pages that `next(token)` gives, each with the token of the one after it; they have to come to an end. */
export async function pagesOf(next, token, most = 100) {
  const pages = [];
  do {
    assert.ok(pages.length < most, `still more after ${most} pages`);
    const page = await next(token);
    pages.push(page);
    token = page.continuationToken;
  } while (token);
  return pages;
}

/** The pages of an SDK's query, which have to come to an end. */
export async function sdkPages(pageable, most = 100) {
  const pages = [];
  for await (const page of pageable.asPages()) {
    assert.ok(pages.length < most, `still more after ${most} pages`);
    pages.push(page);
  }
  return pages;
}

/** A place where user code waits until the scenario lets it go on. */
export class Gate {
  /** How often somebody has come here. */
  arrivals = 0;

  #opened = new Promise((resolve) => {
    this.open = resolve;
  });

  /** What user code awaits. */
  async pass() {
    this.arrivals += 1;
    await this.#opened;
  }

  /** Waits until user code has come here so often. */
  async reached(times = 1) {
    await eventually(() => this.arrivals >= times, `arrival ${times} at the gate`);
  }
}

/** Gates by name, for user code that gets no more than the name as its input. */
export class Gates {
  #gates = new Map();

  at(name) {
    if (!this.#gates.has(name)) this.#gates.set(name, new Gate());
    return this.#gates.get(name);
  }
}
