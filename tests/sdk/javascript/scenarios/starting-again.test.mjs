// Starting under an id that is taken, and restarting what has run before.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { build, grpc, pb, sdk, text } from "../support/sdk.mjs";
import { Gates } from "../support/waiting.mjs";

const { OrchestrationStatus } = sdk;
const { COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED } = OrchestrationStatus;
const EVERY = [COMPLETED, FAILED, TERMINATED, PENDING, RUNNING, SUSPENDED];

const gates = new Gates();

const echo = async (ctx, input) => {
  ctx.setCustomStatus("echoed");
  return [input, ctx.version, ctx.parent?.instanceId];
};
const fails = async (_, input) => {
  throw new Error(`${input} went wrong`);
};
const waits = async function* waits(ctx, input) {
  ctx.setCustomStatus("waiting");
  return [input, yield ctx.waitForExternalEvent("go")];
};
const counts = async function* counts(ctx, left) {
  yield ctx.callActivity(step, left);
  if (left > 0) ctx.continueAsNew(left - 1, true);
  else return left;
};
const step = async (_, input) => input;
const parent = async function* parent(ctx, instanceId) {
  return yield ctx.callSubOrchestrator(waits, "child", { instanceId });
};
const pass = async (_, gate) => {
  await gates.at(gate).pass();
  return "late";
};
const passes = async function* passes(ctx, gate) {
  return yield ctx.callActivity(pass, gate);
};

const hub = useHub({
  orchestrators: [echo, fails, waits, counts, parent, passes], activities: [step, pass],
});

const rawStart = (fields) => hub.call("startInstance", build(pb.CreateInstanceRequest, fields));

/** Starts `waits` under an id whose holder may be replaced if it has one of these statuses. */
const replace = (instanceid, replaceablestatusList, input = '"new"') => rawStart({
  instanceid, name: "waits", input: text(input),
  orchestrationidreusepolicy: build(pb.OrchestrationIdReusePolicy, { replaceablestatusList }),
});

const go = (id, value) => hub.client.raiseOrchestrationEvent(id, "go", value);

/** An instance in this status. */
async function inStatus(status) {
  if (status === COMPLETED) {
    const id = await hub.start(echo, 1);
    await hub.completed(id);
    return id;
  }
  if (status === FAILED) {
    const id = await hub.start(fails, "it");
    await hub.failed(id);
    return id;
  }
  if (status === PENDING || status === TERMINATED) {
    const id = await hub.start("nobody-runs-this", "old");
    if (status === TERMINATED) await hub.client.terminateOrchestration(id);
    return id;
  }
  const id = await hub.start(waits, "old");
  await hub.says(id, "waiting");
  if (status === SUSPENDED) await hub.client.suspendOrchestration(id);
  await hub.reaches(id, status);
  return id;
}

test("trap_14_a_policy_that_lists_nothing_lets_nothing_be_replaced", async () => {
  for (const status of EVERY) {
    const id = await inStatus(status);
    await hub.refused(replace(id, []), grpc.status.ALREADY_EXISTS);
    assert.equal((await hub.state(id)).runtimeStatus, status);
    await hub.client.terminateOrchestration(id);
  }
});

for (const status of EVERY) {
  test(`trap_15_${OrchestrationStatus[status]}_is_replaced_if_it_is_listed`, async () => {
    const id = await inStatus(status);
    const before = await hub.executionId(id);
    await hub.refused(replace(id, [status === FAILED ? COMPLETED : FAILED]), grpc.status.ALREADY_EXISTS);
    await replace(id, [status, TERMINATED]);
    await go(id, "went");
    assert.deepEqual(await hub.completed(id), ["new", "went"]);
    assert.notEqual(await hub.executionId(id), before);
  });
}

test("trap_16_replacing_the_living_but_not_the_terminated_is_refused_in_these_words", async () => {
  const text = "Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances";
  for (const status of [RUNNING, SUSPENDED, PENDING]) {
    const id = await inStatus(status);
    const error = await hub.refused(replace(id, [status]), grpc.status.INVALID_ARGUMENT);
    assert.ok(error.details.includes(text), error.details);
    await hub.client.terminateOrchestration(id);
  }
  const fresh = hub.unique("fresh");
  await replace(fresh, [RUNNING]);
  await go(fresh, 1);
  assert.deepEqual(await hub.completed(fresh), ["new", 1], "an id that is free is never refused for it");
});

test("trap_17_a_list_of_nothing_but_running_is_not_empty", async () => {
  const id = await inStatus(COMPLETED);
  await hub.refused(replace(id, [RUNNING, TERMINATED]), grpc.status.ALREADY_EXISTS);
  const error = await hub.refused(replace(await inStatus(RUNNING), [RUNNING]), grpc.status.INVALID_ARGUMENT);
  assert.match(error.details, /Terminated/);
});

test("who waits for a replaced instance gets the new one's end", async () => {
  const id = await inStatus(RUNNING);
  const [state] = await Promise.all([hub.ended(id), replace(id, [RUNNING, TERMINATED]).then(() => go(id, 2))]);
  assert.equal(state.serializedOutput, '["new",2]');
});

test("the parent of a replaced child is told that it failed", async () => {
  const child = hub.unique("child");
  const id = await hub.start(parent, child);
  await hub.says(child, "waiting");
  await replace(child, [RUNNING, TERMINATED]);
  await hub.failed(id);
  await go(child, 3);
  assert.deepEqual(await hub.completed(child), ["new", 3]);
  assert.ok(!(await hub.rawState(child)).hasParentinstanceid());
});

test("a late result for a replaced run is dropped", async () => {
  const [id, gate] = [hub.unique("late"), hub.unique("gate")];
  await hub.start(passes, gate, { instanceId: id });
  await gates.at(gate).reached();
  await replace(id, [RUNNING, TERMINATED]);
  await hub.says(id, "waiting");
  gates.at(gate).open();
  await go(id, 4);
  assert.deepEqual(await hub.completed(id), ["new", 4]);
  assert.ok((await hub.history(id)).every((event) => event.type !== "TaskCompleted"));
});

test("a start repeated with its execution id is the same start", async () => {
  const fields = {
    instanceid: hub.unique("same"), name: "waits", input: text('"once"'),
    executionid: text(randomUUID().replaceAll("-", "")),
  };
  for (let attempt = 0; attempt < 3; attempt++) await rawStart(fields);
  await hub.says(fields.instanceid, "waiting");
  await rawStart(fields);
  await hub.refused(
    rawStart({ ...fields, executionid: text(randomUUID().replaceAll("-", "")) }), grpc.status.ALREADY_EXISTS);
  assert.equal(await hub.executionId(fields.instanceid), fields.executionid.getValue());
  await go(fields.instanceid, 5);
  assert.deepEqual(await hub.completed(fields.instanceid), ["once", 5]);
});

test("trap_19_a_restart_keeps_name_input_tags_and_version", async () => {
  const options = { instanceId: hub.unique("restarted"), tags: { colour: "green" }, version: "1.5" };
  const id = await hub.start(echo, { deep: [0, null, ""] }, options);
  const output = await hub.completed(id);
  const before = await hub.rawState(id);
  assert.equal(await hub.client.restartOrchestration(id), id);
  assert.deepEqual(await hub.completed(id), output);
  const after = await hub.rawState(id);
  assert.equal(after.getName(), "echo");
  assert.equal(after.getInput().getValue(), before.getInput().getValue());
  assert.equal(after.getVersion().getValue(), "1.5");
  assert.deepEqual((await hub.state(id)).tags, options.tags);
  assert.match(await hub.executionId(id), /^[0-9a-f]{32}$/);
  assert.notEqual(after.getExecutionid().getValue(), before.getExecutionid().getValue());
  assert.ok(after.getCreatedtimestamp().toDate() > before.getCreatedtimestamp().toDate());
});

test("trap_19_an_event_raised_right_after_a_restart_is_not_lost", async () => {
  const id = await hub.start(waits, "in");
  await go(id, "first");
  await hub.completed(id);
  await hub.client.restartOrchestration(id);
  await go(id, "second");
  assert.deepEqual(await hub.completed(id), ["in", "second"]);
  const raised = (await hub.history(id)).filter((event) => event.type === "EventRaised");
  assert.equal(raised.length, 1, "of the first run nothing is left");
});

test("trap_18_what_lives_cannot_be_restarted_under_its_id", async () => {
  for (const status of [RUNNING, SUSPENDED, PENDING]) {
    const id = await inStatus(status);
    const execution = await hub.executionId(id);
    await assert.rejects(hub.client.restartOrchestration(id), /cannot be restarted/);
    const request = build(pb.RestartInstanceRequest, { instanceid: id });
    await hub.refused(hub.call("restartInstance", request), grpc.status.FAILED_PRECONDITION);
    assert.equal((await hub.state(id)).runtimeStatus, status);
    assert.equal(await hub.executionId(id), execution);
    await hub.client.terminateOrchestration(id);
  }
});

test("trap_18_what_lives_can_be_restarted_under_a_new_id", async () => {
  for (const status of [RUNNING, SUSPENDED]) {
    const id = await inStatus(status);
    const copy = await hub.client.restartOrchestration(id, true);
    assert.notEqual(copy, id);
    assert.match(copy, /^[0-9a-f]{32}$/);
    await go(copy, "copy");
    assert.deepEqual(await hub.completed(copy), ["old", "copy"]);
    assert.equal((await hub.state(id)).runtimeStatus, status, "the original is as it was");
    await hub.client.terminateOrchestration(id);
  }
});

test("a restart under a new id leaves the original alone", async () => {
  const id = await hub.start(echo, "in", { tags: { colour: "green" }, version: "2.0" });
  const output = await hub.completed(id);
  const before = await hub.rawState(id);
  const copy = await hub.client.restartOrchestration(id, true);
  assert.deepEqual(await hub.completed(copy), output);
  assert.deepEqual((await hub.state(copy)).tags, { colour: "green" });
  assert.deepEqual((await hub.rawState(id)).toObject(), before.toObject());
  assert.notEqual(await hub.executionId(copy), await hub.executionId(id));
});

for (const fresh of [false, true]) {
  test(`restarting a missing instance is refused, ${fresh ? "with a new id" : "with its id"}`, async () => {
    const missing = hub.unique("missing");
    await assert.rejects(hub.client.restartOrchestration(missing, fresh), /was not found/);
    const request = build(pb.RestartInstanceRequest, { instanceid: missing, restartwithnewinstanceid: fresh });
    await hub.refused(hub.call("restartInstance", request), grpc.status.NOT_FOUND);
  });
}

test("failed and terminated instances can be restarted", async () => {
  const failed = await inStatus(FAILED);
  const before = await hub.executionId(failed);
  await hub.client.restartOrchestration(failed);
  assert.match((await hub.failed(failed)).message, /it went wrong/);
  assert.notEqual(await hub.executionId(failed), before);
  const terminated = await inStatus(RUNNING);
  await hub.client.terminateOrchestration(terminated);
  await hub.reaches(terminated, TERMINATED);
  await hub.client.restartOrchestration(terminated);
  await go(terminated, "again");
  assert.deepEqual(await hub.completed(terminated), ["old", "again"]);
});

test("a restart forgets status, output, failure and the scheduled start", async () => {
  const name = hub.unique("raw");
  const worker = await hub.rawWorker({ orchestrations: [name] });
  const id = await hub.start(name, 1, { startAt: new Date(Date.now() + 300) });
  await worker.complete(await worker.turn(), 1, "out");
  await hub.completed(id);
  assert.ok((await hub.rawState(id)).hasScheduledstarttimestamp());
  await hub.client.restartOrchestration(id);
  const turn = await worker.turn();
  const state = await hub.rawState(id);
  assert.equal(state.getOrchestrationstatus(), PENDING);
  assert.ok(!state.hasOutput() && !state.hasCustomstatus() && !state.hasFailuredetails());
  assert.ok(!state.hasCompletedtimestamp() && !state.hasScheduledstarttimestamp());
  assert.equal(turn.request.getPasteventsList().length, 0);
  await worker.complete(turn, 1, "out again");
  assert.equal(await hub.completed(id), "out again");
});

test("a restart keeps an input that is absent, empty or null as it is", async () => {
  for (const input of [undefined, "", "null"]) {
    const name = hub.unique("raw");
    const worker = await hub.rawWorker({ orchestrations: [name] });
    const instanceid = hub.unique("input");
    await rawStart({ instanceid, name, input: text(input) });
    await worker.complete(await worker.turn(), 1, 1);
    await hub.completed(instanceid);
    await hub.client.restartOrchestration(instanceid);
    const turn = await worker.turn();
    const started = turn.request.getNeweventsList().find((event) => event.hasExecutionstarted());
    assert.equal(started.getExecutionstarted().getInput()?.getValue(), input);
    await worker.complete(turn, 1, 1);
    await hub.completed(instanceid);
  }
});

test("a restarted child has no parent any more", async () => {
  const child = hub.unique("child");
  const id = await hub.start(parent, child);
  await hub.says(child, "waiting");
  await go(child, "grown");
  await hub.completed(id);
  assert.equal((await hub.rawState(child)).getParentinstanceid().getValue(), id);
  await hub.client.restartOrchestration(child);
  await go(child, "alone");
  assert.deepEqual(await hub.completed(child), ["child", "alone"]);
  assert.ok(!(await hub.rawState(child)).hasParentinstanceid());
});

test("a restart begins with the input of the last generation", async () => {
  const id = await hub.start(counts, 3);
  await hub.completed(id);
  await hub.client.restartOrchestration(id);
  await hub.completed(id);
  assert.equal((await hub.state(id)).serializedInput, "0");
});

test("many restarts follow each other", async () => {
  const id = await hub.start(echo, "round");
  const executions = new Set();
  for (let round = 0; round < 5; round++) {
    assert.equal((await hub.completed(id))[0], "round");
    executions.add(await hub.executionId(id));
    await hub.client.restartOrchestration(id);
  }
  await hub.completed(id);
  assert.equal(executions.size, 5);
});
