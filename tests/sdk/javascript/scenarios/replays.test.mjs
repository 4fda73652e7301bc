// What an orchestrator sees while its history is replayed, and how its own code decides on retries.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { sdk } from "../support/sdk.mjs";

const { OrchestrationStatus, RetryPolicy } = sdk;
const hub = useHub();

const step = async (_, number) => number;

test("ids an orchestrator makes up are the same in every replay", async () => {
  const seen = [];
  const dicing = async function* dicing(ctx) {
    const made = [ctx.newGuid(), ctx.newGuid()];
    for (let number = 0; number < 3; number++) {
      yield ctx.callActivity(step, number);
      made.push(ctx.newGuid());
      seen.push([...made]);
    }
    return made;
  };
  await hub.worker({ orchestrators: [dicing], activities: [step] });
  const made = await hub.run(dicing);
  assert.equal(new Set(made).size, 5);
  for (const earlier of seen) assert.deepEqual(earlier, made.slice(0, earlier.length));
  assert.ok(seen.length >= 6, "each turn after the first replays those before it");
  const others = await hub.run(dicing);
  assert.ok(others.every((id) => !made.includes(id)), "another instance makes up others");
});

test("every line is logged once however often it is replayed", async () => {
  const lines = [];
  const ignored = () => {};
  const logger = { info: (line) => lines.push(line), warn: ignored, error: ignored, debug: ignored };
  let replayed = 0;
  const talker = async function* talker(ctx) {
    const safe = ctx.createReplaySafeLogger(logger);
    for (let number = 0; number < 4; number++) {
      if (ctx.isReplaying) replayed += 1;
      safe.info(`before step ${number}`);
      yield ctx.callActivity(step, number);
    }
    safe.info("done");
  };
  await hub.worker({ orchestrators: [talker], activities: [step] });
  await hub.run(talker);
  assert.deepEqual(lines, ["before step 0", "before step 1", "before step 2", "before step 3", "done"]);
  assert.ok(replayed > 0);
});

test("an orchestrator may ask how its version compares to another", async () => {
  const newer = async (ctx) => ["0.9", "1.2.0", "1.10"].map((other) => Math.sign(ctx.compareVersionTo(other)));
  await hub.worker({ orchestrators: [newer] });
  assert.deepEqual(await hub.run(newer, undefined, { version: "1.2.0" }), [1, 0, -1]);
});

test("a retry handler decides, sees every failure, and may be asynchronous", async () => {
  for (const asynchronous of [false, true]) {
    let calls = 0;
    const explode = async () => {
      calls += 1;
      throw new RangeError(`attempt ${calls}`);
    };
    const asked = [];
    const decide = ({ lastAttemptNumber, lastFailure }) => {
      asked.push([lastAttemptNumber, lastFailure.message]);
      return lastAttemptNumber < 3;
    };
    const caller = async function* caller(ctx) {
      yield ctx.callActivity(explode, undefined, { retry: asynchronous ? async (asks) => decide(asks) : decide });
    };
    const worker = await hub.worker({ orchestrators: [caller], activities: [explode] });
    const failure = await hub.failed(await hub.start(caller));
    assert.equal(calls, 3);
    assert.match(failure.message, /attempt 3/);
    assert.deepEqual(new Map(asked.map(([attempt, message]) => [attempt, message.match(/attempt \d/)[0]])),
      new Map([[1, "attempt 1"], [2, "attempt 2"], [3, "attempt 3"]]));
    await hub.stopWorker(worker);
  }
});

test("a retry handler may put the next attempt off", async () => {
  const attempts = [];
  const explodeOnce = async () => {
    attempts.push(Date.now());
    if (attempts.length === 1) throw new Error("not yet");
    return "now";
  };
  const caller = async function* caller(ctx) {
    return yield ctx.callActivity(explodeOnce, undefined, { retry: () => 700 });
  };
  await hub.worker({ orchestrators: [caller], activities: [explodeOnce] });
  assert.equal(await hub.run(caller), "now");
  assert.ok(attempts[1] - attempts[0] >= 700, `after ${attempts[1] - attempts[0]} ms`);
});

test("a retry policy may pass over some failures and ends with its time", async () => {
  let calls = 0;
  const explode = async (_, message) => {
    calls += 1;
    throw new Error(message);
  };
  const caller = async function* caller(ctx, { message, ...options }) {
    const retry = new RetryPolicy({
      maxNumberOfAttempts: 50, firstRetryIntervalInMilliseconds: 200,
      handleFailure: (failure) => !failure.message.includes("hopeless"), ...options,
    });
    yield ctx.callActivity(explode, message, { retry });
  };
  await hub.worker({ orchestrators: [caller], activities: [explode] });
  await hub.failed(await hub.start(caller, { message: "hopeless" }));
  assert.equal(calls, 1);
  calls = 0;
  const state = await hub.ended(await hub.start(caller, { message: "again", retryTimeoutInMilliseconds: 900 }));
  assert.equal(state.runtimeStatus, OrchestrationStatus.FAILED);
  assert.ok(calls >= 2 && calls <= 5, `${calls} attempts, 200 ms apart, in 900 ms`);
});
