// Activities, children, payloads, failures and retries.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { sdk } from "../support/sdk.mjs";

const { OrchestrationStatus, RetryPolicy, whenAll, whenAny } = sdk;
const hub = useHub();

test("steps run in order and pass results on", async () => {
  const append = async (_, path) => `${path}${path.length}`;
  const chain = async function* chain(ctx, path) {
    for (let step = 0; step < 6; step++) path = yield ctx.callActivity(append, path);
    return path;
  };
  await hub.worker({ orchestrators: [chain], activities: [append] });
  assert.equal(await hub.run(chain, ""), "012345");
});

test("fan-out collects results in call order", async () => {
  const square = async (_, number) => number * number;
  const spread = async function* spread(ctx, width) {
    return yield whenAll(Array.from({ length: width }, (_, n) => ctx.callActivity(square, n)));
  };
  await hub.worker({ orchestrators: [spread], activities: [square] });
  assert.deepEqual(await hub.run(spread, 50), Array.from({ length: 50 }, (_, n) => n * n));
});

for (const [name, value] of Object.entries({
  zero: 0, false: false, "empty text": "", null: null, "empty list": [], "odd text": "☃ \u0000 \" \\ \n",
})) {
  test(`${name} survives input, activity, child, custom status and output`, async () => {
    const echo = async (_, given) => given;
    const child = async function* child(ctx, given) {
      return yield ctx.callActivity(echo, given);
    };
    const parent = async function* parent(ctx, given) {
      ctx.setCustomStatus(given);
      return yield ctx.callSubOrchestrator(child, given);
    };
    await hub.worker({ orchestrators: [parent, child], activities: [echo] });
    const id = await hub.start(parent, value);
    assert.deepEqual(await hub.completed(id), value);
    const state = await hub.rawState(id);
    assert.equal(state.getInput().getValue(), JSON.stringify(value));
    assert.equal(state.getOutput().getValue(), JSON.stringify(value));
    if (value !== null) assert.equal(state.getCustomstatus().getValue(), JSON.stringify(value));
  });
}

test("an orchestration that returns nothing has no output and no custom status", async () => {
  const silent = async function silent() {};
  await hub.worker({ orchestrators: [silent] });
  const id = await hub.start(silent);
  await hub.completed(id);
  const state = await hub.rawState(id);
  assert.ok(!state.hasCustomstatus() && !state.hasFailuredetails());
  assert.ok(!state.hasOutput() || state.getOutput().getValue() === "", "whatever the worker sent, nothing more");
  assert.ok(state.hasCreatedtimestamp() && state.hasLastupdatedtimestamp() && state.hasCompletedtimestamp());
});

test("a failing activity fails the orchestration with its details", async () => {
  const explode = async () => {
    throw new RangeError("out of range");
  };
  const caller = async function* caller(ctx) {
    yield ctx.callActivity(explode);
  };
  await hub.worker({ orchestrators: [caller], activities: [explode] });
  const state = await hub.ended(await hub.start(caller));
  assert.equal(state.runtimeStatus, OrchestrationStatus.FAILED);
  assert.match(state.failureDetails.message, /out of range/);
  assert.ok(state.failureDetails.stackTrace.length > 0);
});

test("an orchestrator may catch a failure and go on", async () => {
  const explode = async () => {
    throw new Error("no");
  };
  const careful = async function* careful(ctx) {
    try {
      yield ctx.callActivity(explode);
    } catch (error) {
      return `caught: ${error.message}`;
    }
  };
  await hub.worker({ orchestrators: [careful], activities: [explode] });
  assert.match(await hub.run(careful), /caught:.*no/);
});

test("a retry policy stops after its attempts", async () => {
  let calls = 0;
  const alwaysFails = async () => {
    calls += 1;
    throw new Error(`attempt ${calls}`);
  };
  const caller = async function* caller(ctx) {
    const retry = new RetryPolicy({ maxNumberOfAttempts: 5, firstRetryIntervalInMilliseconds: 30 });
    yield ctx.callActivity(alwaysFails, undefined, { retry });
  };
  await hub.worker({ orchestrators: [caller], activities: [alwaysFails] });
  const state = await hub.ended(await hub.start(caller));
  assert.equal(state.runtimeStatus, OrchestrationStatus.FAILED);
  assert.equal(calls, 5);
});

test("a failed child is retried under its id", async () => {
  const runs = [];
  const child = async function* child(ctx, input) {
    if (!ctx.isReplaying) runs.push(ctx.instanceId);
    yield ctx.createTimer(0.01);
    if (runs.length < 3) throw new Error("not yet");
    return input;
  };
  const parent = async function* parent(ctx) {
    const retry = new RetryPolicy({ maxNumberOfAttempts: 4, firstRetryIntervalInMilliseconds: 30 });
    return yield ctx.callSubOrchestrator(child, "third", { retry });
  };
  await hub.worker({ orchestrators: [parent, child] });
  assert.equal(await hub.run(parent), "third");
  assert.equal(new Set(runs).size, 1);
});

test("a child knows its parent, and its made-up id stays short", async () => {
  const leaf = async (ctx) => [{ id: ctx.instanceId, parent: ctx.parent }];
  const inner = async function* inner(ctx) {
    const below = yield ctx.callSubOrchestrator(leaf);
    return [{ id: ctx.instanceId, parent: ctx.parent }, ...below];
  };
  const outer = async function* outer(ctx) {
    return yield ctx.callSubOrchestrator(inner);
  };
  await hub.worker({ orchestrators: [outer, inner, leaf] });
  const id = await hub.start(outer, undefined, { instanceId: hub.unique("x".repeat(80)) });
  const [first, second] = await hub.completed(id);
  assert.equal(first.parent.name, "outer");
  assert.equal(first.parent.instanceId, id);
  assert.equal(second.parent.name, "inner");
  assert.equal(second.parent.instanceId, first.id);
  for (const made of [first.id, second.id]) assert.match(made, /^[0-9a-f]{32}:[0-9a-f]{4}$/);
  const execution = (await hub.rawState(id)).getExecutionid().getValue();
  assert.ok(first.id.startsWith(`${execution}:`));
});

test("children inherit tags and may have a version of their own", async () => {
  const child = async (ctx) => ctx.version;
  const parent = async function* parent(ctx, childId) {
    const options = { instanceId: childId, tags: { own: "2", shared: "child" }, version: "2.5" };
    return [ctx.version, yield ctx.callSubOrchestrator(child, undefined, options)];
  };
  await hub.worker({ orchestrators: [parent, child] });
  const childId = hub.unique("child");
  const id = await hub.start(parent, childId, { tags: { inherited: "1", shared: "parent" }, version: "1.0" });
  assert.deepEqual(await hub.completed(id), ["1.0", "2.5"]);
  assert.deepEqual((await hub.state(id)).tags, { inherited: "1", shared: "parent" });
  assert.deepEqual((await hub.state(childId)).tags, { inherited: "1", shared: "child", own: "2" });
});

test("the first of two tasks decides", async () => {
  const fast = async () => "fast";
  const racing = async function* racing(ctx) {
    const [activity, timer] = [ctx.callActivity(fast), ctx.createTimer(3600)];
    const winner = yield whenAny([activity, timer]);
    return winner === activity ? winner.getResult() : "timer";
  };
  await hub.worker({ orchestrators: [racing], activities: [fast] });
  assert.equal(await hub.run(racing), "fast");
});
