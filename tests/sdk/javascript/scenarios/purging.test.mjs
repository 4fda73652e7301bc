// Deleting instances that have ended.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { build, grpc, pb, sdk } from "../support/sdk.mjs";
import { Gates } from "../support/waiting.mjs";

const { OrchestrationStatus, PurgeInstanceCriteria, terminateOptions } = sdk;
const { COMPLETED, FAILED, RUNNING, TERMINATED } = OrchestrationStatus;

const gates = new Gates();

const echo = async (_, input) => input;
const fails = async () => {
  throw new Error("as it should");
};
const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};
const family = async function* family(ctx, [id, depth]) {
  if (depth === 0) return id;
  return yield ctx.callSubOrchestrator(family, [`${id}c`, depth - 1], { instanceId: `${id}c` });
};
const disowns = async function* disowns(ctx, instanceId) {
  yield ctx.callSubOrchestrator(echo, 1, { instanceId });
  throw new Error("as it should");
};
const parent = async function* parent(ctx, instanceId) {
  return yield ctx.callSubOrchestrator(waits, undefined, { instanceId });
};
const pass = async (_, gate) => {
  await gates.at(gate).pass();
  return "passed";
};
const leavesThingsBehind = async function* leavesThingsBehind(ctx, gate) {
  ctx.callActivity(pass, gate);
  ctx.callActivity("nobody-runs-this", gate);
  ctx.createTimer(0.8);
  yield ctx.waitForExternalEvent("never");
};
const startsAnew = async function* startsAnew(ctx) {
  // The same ids of tasks and timers as above, so that ghosts would be taken for their results.
  const activity = ctx.callActivity(echo, "mine");
  ctx.callActivity(echo, "mine too");
  const began = ctx.currentUtcDateTime.getTime();
  yield ctx.createTimer(1.6);
  const slept = ctx.currentUtcDateTime.getTime() - began;
  return [yield activity, slept >= 1600];
};

const hub = useHub({
  orchestrators: [echo, fails, waits, family, disowns, parent, leavesThingsBehind, startsAnew],
  activities: [echo, pass],
});

const purge = async (what, options) => (await hub.client.purgeOrchestration(what, options)).deletedInstanceCount;

const criteria = ({ statuses = [], from, to } = {}) => {
  const made = new PurgeInstanceCriteria();
  made.setRuntimeStatusList(statuses);
  made.setCreatedTimeFrom(from);
  made.setCreatedTimeTo(to);
  return made;
};

const rawPurge = (fields) => hub.call("purgeInstances", build(pb.PurgeInstancesRequest, fields));

test("trap_20_what_is_purged_is_gone_at_once", async () => {
  const id = await hub.start(echo, 1);
  await hub.completed(id);
  assert.equal(await purge(id), 1);
  assert.equal(await hub.state(id), undefined);
  assert.deepEqual(await hub.history(id), []);
  assert.equal(await purge(id), 0);
  assert.equal(await purge(hub.unique("missing")), 0);
  await hub.refused(hub.client.raiseOrchestrationEvent(id, "go"), grpc.status.NOT_FOUND);
});

test("a purge says that it is complete", async () => {
  const id = await hub.start(echo, 1);
  await hub.completed(id);
  for (const count of [1, 0]) {
    const answer = await rawPurge({ instanceid: id });
    assert.equal(answer.getDeletedinstancecount(), count);
    assert.equal(answer.getIscomplete().getValue(), true);
  }
});

test("trap_20_a_purge_takes_children_along_only_if_told", async () => {
  const [whole, alone] = [hub.unique("whole"), hub.unique("alone")];
  for (const instanceId of [whole, alone]) await hub.run(family, [instanceId, 3], { instanceId });
  assert.equal(await purge(alone, { recursive: false }), 1);
  assert.equal(await hub.state(alone), undefined);
  for (const child of ["c", "cc", "ccc"]) assert.equal((await hub.state(alone + child)).runtimeStatus, COMPLETED);
  assert.ok(await purge(whole, { recursive: true }) >= 1);
  for (const child of ["", "c", "cc", "ccc"]) assert.equal(await hub.state(whole + child), undefined);
});

test("a recursive purge counts the children it took", async () => {
  const instanceId = hub.unique("counted");
  await hub.run(family, [instanceId, 2], { instanceId });
  assert.equal(await purge(instanceId, { recursive: true }), 3);
});

test("a recursive purge leaves living children alone", async () => {
  const child = hub.unique("child");
  const id = await hub.start(parent, child);
  await hub.reaches(child, RUNNING);
  await hub.client.terminateOrchestration(id, terminateOptions({ recursive: false }));
  await hub.reaches(id, TERMINATED);
  assert.equal(await purge(id, { recursive: true }), 1);
  await hub.client.raiseOrchestrationEvent(child, "go", "alive");
  assert.equal(await hub.completed(child), "alive");
});

test("trap_21_a_living_instance_is_not_purged", async () => {
  const [running, pending] = [await hub.start(waits), await hub.start("nobody-runs-this")];
  await hub.reaches(running, RUNNING);
  for (const id of [running, pending]) {
    assert.equal(await purge(id), 0);
    await hub.refused(rawPurge({ instanceid: id, isorchestration: true }), grpc.status.FAILED_PRECONDITION);
    assert.ok(await hub.state(id));
  }
  await hub.client.raiseOrchestrationEvent(running, "go", "still here");
  assert.equal(await hub.completed(running), "still here");
  await hub.client.terminateOrchestration(pending);
  assert.equal((await rawPurge({ instanceid: pending, isorchestration: true })).getDeletedinstancecount(), 1);
});

test("every way to end can be purged", async () => {
  const failed = await hub.start(fails);
  await hub.failed(failed);
  const terminated = await hub.start("nobody-runs-this");
  await hub.client.terminateOrchestration(terminated);
  for (const id of [failed, terminated]) {
    assert.equal(await purge(id), 1);
    assert.equal(await hub.state(id), undefined);
  }
});

test("trap_22_a_filter_without_conditions_takes_all_that_has_ended", async () => {
  await purge(criteria());
  const ended = [];
  for (let n = 0; n < 3; n++) {
    ended.push(await hub.start(echo, n));
    await hub.completed(ended[n]);
  }
  const living = await hub.start("nobody-runs-this");
  assert.equal(await purge(criteria()), 3);
  for (const id of ended) assert.equal(await hub.state(id), undefined);
  assert.ok(await hub.state(living));
  assert.equal(await purge(criteria()), 0);
  await hub.client.terminateOrchestration(living);
});

test("a filter takes the statuses it names, and never the living", async () => {
  await purge(criteria());
  const completed = await hub.start(echo, 1);
  await hub.completed(completed);
  const failed = await hub.start(fails);
  await hub.failed(failed);
  const running = await hub.start(waits);
  await hub.reaches(running, RUNNING);
  assert.equal(await purge(criteria({ statuses: [RUNNING, TERMINATED] })), 0);
  assert.equal(await purge(criteria({ statuses: [FAILED, RUNNING] })), 1);
  assert.equal(await hub.state(failed), undefined);
  assert.equal((await hub.state(running)).runtimeStatus, RUNNING);
  assert.equal((await hub.state(completed)).runtimeStatus, COMPLETED);
  await hub.client.terminateOrchestration(running);
});

test("a filter by creation includes the beginning and not the end", async () => {
  const ids = [];
  const times = [];
  for (let n = 0; n < 4; n++) {
    ids.push(await hub.start(echo, n));
    await hub.completed(ids[n]);
    times.push((await hub.rawState(ids[n])).getCreatedtimestamp());
  }
  const filter = (fields) => rawPurge({ purgeinstancefilter: build(pb.PurgeInstanceFilter, fields) });
  const middle = await filter({ createdtimefrom: times[1], createdtimeto: times[3] });
  assert.equal(middle.getDeletedinstancecount(), 2);
  const left = await Promise.all(ids.map(async (id) => await hub.state(id) !== undefined));
  assert.deepEqual(left, [true, false, false, true]);
  await filter({ createdtimefrom: times[3] });
  assert.equal(await hub.state(ids[3]), undefined);
  const hour = 3600 * 1000;
  assert.equal(await purge(criteria({ from: new Date(Date.now() + hour) })), 0);
  assert.ok(await purge(criteria({ from: new Date(Date.now() - hour), to: new Date(Date.now() + hour) })) >= 1);
  assert.equal(await hub.state(ids[0]), undefined);
});

test("a filter can take children along", async () => {
  const children = [hub.unique("child"), hub.unique("child")];
  for (const [n, recursive] of [false, true].entries()) {
    const id = await hub.start(disowns, children[n]);
    await hub.failed(id);
    await purge(criteria({ statuses: [FAILED] }), { recursive });
    assert.equal(await hub.state(id), undefined);
  }
  assert.equal((await hub.state(children[0])).runtimeStatus, COMPLETED);
  assert.equal(await hub.state(children[1]), undefined);
});

test("many instances are purged in one call", async () => {
  await purge(criteria());
  const ids = await Promise.all(Array.from({ length: 120 }, () => hub.start("nobody-runs-this")));
  await Promise.all(ids.map((id) => hub.client.terminateOrchestration(id)));
  assert.equal(await purge(criteria({ statuses: [TERMINATED] })), 120);
});

test("a batch takes what has ended and passes over the rest", async () => {
  const [completed, living] = [await hub.start(echo, 1), await hub.start("nobody-runs-this")];
  await hub.completed(completed);
  const batch = (instanceidsList, fields) =>
    rawPurge({ instancebatch: build(pb.InstanceBatch, { instanceidsList }), ...fields });
  const answer = await batch([completed, living, hub.unique("missing"), completed], { isorchestration: true });
  assert.equal(answer.getDeletedinstancecount(), 1);
  assert.ok(await hub.state(living));
  const many = (count) => Array.from({ length: count }, (_, n) => `missing-${n}`);
  assert.equal((await batch(many(500))).getDeletedinstancecount(), 0);
  await hub.refused(batch(many(501)), grpc.status.INVALID_ARGUMENT);
  await hub.client.terminateOrchestration(living);
});

test("a purge of nothing in particular is refused", async () => {
  await hub.refused(rawPurge({}), grpc.status.INVALID_ARGUMENT);
});

test("trap_23_an_id_used_again_sees_no_ghosts", async () => {
  const [instanceId, gate] = [hub.unique("again"), hub.unique("gate")];
  await hub.start(leavesThingsBehind, gate, { instanceId });
  await gates.at(gate).reached();
  await hub.client.terminateOrchestration(instanceId);
  await hub.reaches(instanceId, TERMINATED);
  assert.equal(await purge(instanceId), 1);
  await hub.start(startsAnew, undefined, { instanceId });
  gates.at(gate).open();
  assert.deepEqual(await hub.completed(instanceId), ["mine", true]);
  const types = (await hub.history(instanceId)).map((event) => event.type);
  assert.equal(types.filter((type) => type === "TimerFired").length, 1);
  assert.equal(types.filter((type) => type === "TaskCompleted").length, 2);
});

test("an event for a purged instance does not reach its successor", async () => {
  const instanceId = hub.unique("inbox");
  await hub.start("nobody-runs-this", undefined, { instanceId });
  await hub.client.raiseOrchestrationEvent(instanceId, "go", "old");
  await hub.client.terminateOrchestration(instanceId);
  assert.equal(await purge(instanceId), 1);
  await hub.start(waits, undefined, { instanceId });
  await hub.reaches(instanceId, RUNNING);
  await hub.client.raiseOrchestrationEvent(instanceId, "go", "new");
  assert.equal(await hub.completed(instanceId), "new");
});
