// Which worker gets what, and what happens when workers come and go.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { sdk } from "../support/sdk.mjs";
import { eventually } from "../support/waiting.mjs";

const { OrchestrationStatus, VersionFailureStrategy, VersionMatchStrategy, whenAll } = sdk;
const hub = useHub();

const echo = async (ctx, value) => [ctx.version, value];

const strict = (version, failureStrategy = VersionFailureStrategy.Reject) => ({
  version, defaultVersion: version, matchStrategy: VersionMatchStrategy.Strict, failureStrategy,
});

test("what no worker wants waits and blocks nobody", async () => {
  const stuck = await Promise.all(Array.from({ length: 60 }, () => hub.start(hub.unique("nobody-runs-this"))));
  await hub.worker({ orchestrators: [echo], workItemFilters: "auto" });
  const ids = await Promise.all(Array.from({ length: 10 }, (_, n) => hub.start(echo, n)));
  const outputs = await Promise.all(ids.map((id) => hub.completed(id)));
  assert.deepEqual(outputs.map(([, value]) => value), ids.map((_, n) => n));
  for (const id of stuck) {
    assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.PENDING);
    await hub.client.terminateOrchestration(id);
  }
});

test("versions are matched exactly", async () => {
  await hub.worker({ orchestrators: [echo], workItemFilters: "auto", versioning: strict("2.0") });
  const older = await hub.start(echo, 1, { version: "1.0" });
  const unversioned = await hub.start(echo, 2);
  assert.deepEqual(await hub.run(echo, 3, { version: "2.0" }), ["2.0", 3]);
  assert.equal((await hub.state(older)).runtimeStatus, OrchestrationStatus.PENDING);
  assert.equal((await hub.state(unversioned)).runtimeStatus, OrchestrationStatus.PENDING);
  await hub.worker({ orchestrators: [echo], workItemFilters: "auto", versioning: strict("1.0") });
  assert.deepEqual(await hub.completed(older), ["1.0", 1]);
  await hub.worker({ orchestrators: [echo], workItemFilters: { orchestrations: [{ name: "echo", versions: [""] }] } });
  assert.equal((await hub.completed(unversioned))[1], 2);
});

test("an activity without a version has its orchestration's", async () => {
  const step = async () => "stepped";
  const stepping = async function* stepping(ctx) {
    return yield ctx.callActivity(step);
  };
  await hub.worker({
    orchestrators: [stepping], activities: [step], workItemFilters: "auto", versioning: strict("3.0"),
  });
  assert.equal(await hub.run(stepping, undefined, { version: "3.0" }), "stepped");
});

test("a rejected version is offered to another worker", async () => {
  await hub.worker({ orchestrators: [echo], versioning: strict("1.0") });
  const id = await hub.start(echo, 1, { version: "2.0" });
  assert.deepEqual(await hub.run(echo, 0, { version: "1.0" }), ["1.0", 0]);
  await hub.worker({ orchestrators: [echo], versioning: strict("2.0") });
  assert.deepEqual(await hub.completed(id), ["2.0", 1]);
});

test("a version mismatch may fail the orchestration", async () => {
  await hub.worker({ orchestrators: [echo], versioning: strict("1.0", VersionFailureStrategy.Fail) });
  const state = await hub.ended(await hub.start(echo, 1, { version: "2.0" }));
  assert.equal(state.runtimeStatus, OrchestrationStatus.FAILED);
});

test("activities run where they are registered", async () => {
  const ran = [];
  const here = async () => ran.push("here");
  const there = async () => ran.push("there");
  const both = async function* both(ctx) {
    yield whenAll([ctx.callActivity(here), ctx.callActivity(there)]);
  };
  await hub.worker({ orchestrators: [both], activities: [here], workItemFilters: "auto" });
  const id = await hub.start(both);
  await eventually(() => ran.includes("here"), "the local activity");
  await hub.worker({ activities: [there], workItemFilters: "auto" });
  await hub.completed(id);
  assert.deepEqual(ran.sort(), ["here", "there"]);
});

test("a new worker takes over from one that left", async () => {
  const patient = async function* patient(ctx) {
    const events = [yield ctx.waitForExternalEvent("go")];
    events.push(yield ctx.waitForExternalEvent("go"));
    return events;
  };
  const first = await hub.worker({ orchestrators: [patient] });
  const id = await hub.start(patient);
  await hub.client.raiseOrchestrationEvent(id, "go", 1);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  const waiter = hub.completed(id);
  await hub.stopWorker(first);
  await hub.client.raiseOrchestrationEvent(id, "go", 2);
  await hub.worker({ orchestrators: [patient] });
  assert.deepEqual(await waiter, [1, 2]);
});

test("a large payload arrives whole", async () => {
  const size = async (_, text) => text.length;
  const big = async function* big(ctx, text) {
    return [yield ctx.callActivity(size, text), text.length];
  };
  await hub.worker({ orchestrators: [big], activities: [size] });
  assert.deepEqual(await hub.run(big, "x".repeat(900_000)), [900_000, 900_000]);
});

test("two hundred at once", async () => {
  const add = async (_, [a, b]) => a + b;
  const sum = async function* sum(ctx, n) {
    let total = 0;
    for (let i = 1; i <= 3; i++) total = yield ctx.callActivity(add, [total, n * i]);
    return total;
  };
  await hub.worker({ orchestrators: [sum], activities: [add] });
  const ids = await Promise.all(Array.from({ length: 200 }, (_, n) => hub.start(sum, n)));
  const outputs = await Promise.all(ids.map((id) => hub.completed(id)));
  assert.deepEqual(outputs, ids.map((_, n) => n * 6));
});
