// Timers, external events, and continue-as-new.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { grpc, sdk } from "../support/sdk.mjs";
import { eventually } from "../support/waiting.mjs";

const { OrchestrationStatus, whenAll, whenAny } = sdk;
const hub = useHub();

const collect = async function* collect(ctx, count) {
  const items = [];
  while (items.length < count) items.push(yield ctx.waitForExternalEvent("item"));
  return items;
};

test("a timer is not early, and the clock agrees", async () => {
  const sleeper = async function* sleeper(ctx, seconds) {
    const before = ctx.currentUtcDateTime.getTime();
    yield ctx.createTimer(seconds);
    return ctx.currentUtcDateTime.getTime() - before;
  };
  await hub.worker({ orchestrators: [sleeper] });
  const began = Date.now();
  assert.ok(await hub.run(sleeper, 1.2) >= 1200);
  assert.ok(Date.now() - began >= 1200);
});

test("a timer in the past fires at once", async () => {
  const late = async function* late(ctx) {
    yield ctx.createTimer(new Date(0));
    return "fired";
  };
  await hub.worker({ orchestrators: [late] });
  assert.equal(await hub.run(late), "fired");
});

test("timers with one fire time all fire", async () => {
  const together = async function* together(ctx, fireAt) {
    yield whenAll(Array.from({ length: 30 }, () => ctx.createTimer(new Date(fireAt))));
    return "all";
  };
  await hub.worker({ orchestrators: [together] });
  const fireAt = Date.now() + 1500;
  const ids = await Promise.all(Array.from({ length: 8 }, () => hub.start(together, fireAt)));
  assert.deepEqual(await Promise.all(ids.map((id) => hub.completed(id))), Array(8).fill("all"));
});

test("an event beats a timer of a week", async () => {
  const race = async function* race(ctx) {
    const [event, timer] = [ctx.waitForExternalEvent("go"), ctx.createTimer(7 * 24 * 3600)];
    const winner = yield whenAny([event, timer]);
    if (winner === event) timer.cancel?.();
    return winner === event ? "event" : "timer";
  };
  await hub.worker({ orchestrators: [race] });
  const id = await hub.start(race);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.raiseOrchestrationEvent(id, "go");
  assert.equal(await hub.completed(id), "event");
});

test("events raised before the first turn are kept in order", async () => {
  const id = await hub.start(collect, 20);
  for (let item = 0; item < 20; item++) await hub.client.raiseOrchestrationEvent(id, "item", item);
  await hub.worker({ orchestrators: [collect] });
  assert.deepEqual(await hub.completed(id), Array.from({ length: 20 }, (_, n) => n));
});

test("event names match whatever their case", async () => {
  await hub.worker({ orchestrators: [collect] });
  const id = await hub.start(collect, 2);
  await hub.client.raiseOrchestrationEvent(id, "ITEM", { a: 1 });
  await hub.client.raiseOrchestrationEvent(id, "Item", null);
  assert.deepEqual(await hub.completed(id), [{ a: 1 }, null]);
});

test("orchestrations send each other events, with and without data", async () => {
  const sender = async function* sender(ctx, target) {
    ctx.sendEvent(target, "item", { from: ctx.instanceId });
    ctx.sendEvent(target, "item");
    yield ctx.createTimer(0.01);
    return "sent";
  };
  await hub.worker({ orchestrators: [collect, sender] });
  const target = await hub.start(collect, 2);
  const source = await hub.start(sender, target);
  const [first, second] = await hub.completed(target);
  assert.deepEqual(first, { from: source });
  assert.ok(second === undefined || second === null);
  assert.equal(await hub.completed(source), "sent");
  assert.equal(await hub.run(sender, hub.unique("missing")), "sent");
});

test("raising an event to nobody is refused", async () => {
  await hub.refused(hub.client.raiseOrchestrationEvent(hub.unique("missing"), "go"), grpc.status.NOT_FOUND);
});

test("many generations, each with its own execution id", async () => {
  const counter = async function* counter(ctx, state) {
    const id = yield ctx.callActivity(whoami);
    state.push(id);
    if (state.length < 15) ctx.continueAsNew(state, true);
    else return state;
  };
  const whoami = async () => "step";
  await hub.worker({ orchestrators: [counter], activities: [whoami] });
  const id = await hub.start(counter, []);
  const first = (await hub.rawState(id)).getExecutionid().getValue();
  assert.equal((await hub.completed(id)).length, 15);
  const last = (await hub.rawState(id)).getExecutionid().getValue();
  assert.notEqual(first, last);
  assert.match(last, /^[0-9a-f]{32}$/);
});

test("made-up child ids do not collide across generations", async () => {
  const child = async (ctx) => ctx.instanceId;
  const parent = async function* parent(ctx, ids) {
    ids.push(yield ctx.callSubOrchestrator(child));
    if (ids.length < 4) ctx.continueAsNew(ids, true);
    else return ids;
  };
  await hub.worker({ orchestrators: [parent, child] });
  const ids = await hub.run(parent, []);
  assert.equal(new Set(ids).size, 4);
});

test("unconsumed events come along in order", async () => {
  const oneByOne = async function* oneByOne(ctx, seen) {
    seen.push(yield ctx.waitForExternalEvent("item"));
    if (seen.length < 6) ctx.continueAsNew(seen, true);
    else return seen;
  };
  const id = await hub.start(oneByOne, []);
  for (let item = 0; item < 6; item++) await hub.client.raiseOrchestrationEvent(id, "item", item);
  await hub.worker({ orchestrators: [oneByOne] });
  assert.deepEqual(await hub.completed(id), [0, 1, 2, 3, 4, 5]);
});

test("a timer of the old generation is not seen by the new one", async () => {
  const renewed = async function* renewed(ctx, generation) {
    if (generation === 0) {
      const timer = ctx.createTimer(1);
      yield whenAny([timer, ctx.waitForExternalEvent("next")]);
      ctx.continueAsNew(1, false);
      return;
    }
    yield ctx.createTimer(2);
    return "second";
  };
  await hub.worker({ orchestrators: [renewed] });
  const id = await hub.start(renewed, 0);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.raiseOrchestrationEvent(id, "next");
  assert.equal(await hub.completed(id), "second");
  const types = (await hub.client.getOrchestrationHistory(id)).map((event) => event.type);
  assert.equal(types.filter((type) => type === "TimerFired").length, 1);
});

test("custom status follows the orchestration", async () => {
  const reporter = async function* reporter(ctx) {
    ctx.setCustomStatus({ step: 1 });
    yield ctx.waitForExternalEvent("next");
    ctx.setCustomStatus("");
    yield ctx.waitForExternalEvent("next");
    return "done";
  };
  await hub.worker({ orchestrators: [reporter] });
  const id = await hub.start(reporter);
  const started = await hub.client.waitForOrchestrationStart(id, true, 30);
  assert.equal(started.serializedCustomStatus, JSON.stringify({ step: 1 }));
  await hub.client.raiseOrchestrationEvent(id, "next");
  await eventually(async () => (await hub.rawState(id)).getCustomstatus()?.getValue() === '""', "the empty text");
  await hub.client.raiseOrchestrationEvent(id, "next");
  assert.equal(await hub.completed(id), "done");
});
