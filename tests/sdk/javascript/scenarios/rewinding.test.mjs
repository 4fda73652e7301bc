// Taking failed orchestrations back to where they failed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Counter } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { actions, build, grpc, pb, sdk } from "../support/sdk.mjs";
import { Gates, eventually, settles } from "../support/waiting.mjs";

const { EntityInstanceId, OrchestrationStatus, whenAll } = sdk;
const { COMPLETED, FAILED, RUNNING, SUSPENDED, TERMINATED } = OrchestrationStatus;

const gates = new Gates();

// What ran, by the scenario's key, and what is out of order for it.
const runs = new Map();
const broken = new Set();

const ran = (key) => runs.get(key) ?? [];

const work = async (_, [key, name]) => {
  runs.set(key, [...ran(key), name]);
  if (broken.has(`${key} ${name}`)) throw new Error(`${name} is out of order`);
  return `${name} done`;
};

const waitsAtGate = async (_, gate) => gates.at(gate).pass();

const chain = async function* chain(ctx, [key, ...names]) {
  const results = [];
  for (const name of names) results.push(yield ctx.callActivity(work, [key, name]));
  return results;
};

const spread = async function* spread(ctx, [key, ...names]) {
  return yield whenAll(names.map((name) => ctx.callActivity(work, [key, name])));
};

const gated = async function* gated(ctx, [key, gate]) {
  ctx.setCustomStatus("before");
  yield ctx.callActivity(work, [key, "a"]);
  yield ctx.callActivity(waitsAtGate, gate);
  ctx.setCustomStatus("after");
};

const sleepy = async function* sleepy(ctx, key) {
  yield ctx.createTimer(0.1);
  const event = yield ctx.waitForExternalEvent("go");
  return [event, yield ctx.callActivity(work, [key, "a"])];
};

const stumbles = async function* stumbles(ctx, key) {
  const done = yield ctx.callActivity(work, [key, "a"]);
  if (broken.has(`${key} code`)) throw new Error("the code is out of order");
  return done;
};

const parent = async function* parent(ctx, [key, child, depth]) {
  const before = yield ctx.callActivity(work, [key, `before ${depth}`]);
  const below = depth > 1
    ? yield ctx.callSubOrchestrator(parent, [key, `${child}c`, depth - 1], { instanceId: child })
    : yield ctx.callSubOrchestrator(chain, [key, "first", "second"], { instanceId: child, tags: { colour: "red" } });
  return [before, below, yield ctx.callActivity(work, [key, `after ${depth}`])];
};

const patient = async function* patient(ctx, [key, name]) {
  yield ctx.waitForExternalEvent("go");
  return yield ctx.callActivity(work, [key, name]);
};

const siblings = async function* siblings(ctx, [key, ...children]) {
  return yield whenAll(children.map((instanceId) =>
    ctx.callSubOrchestrator(patient, [key, instanceId], { instanceId })));
};

/** Fails while something else that it began is still going on, and waits for that afterwards. */
const impatient = async function* impatient(ctx, [key, gate, child]) {
  const activity = ctx.callActivity(waitsAtGate, gate);
  const orchestration = ctx.callSubOrchestrator(waits, undefined, { instanceId: child });
  const done = yield ctx.callActivity(work, [key, "a"]);
  yield activity;
  return [done, yield orchestration];
};

const locks = async function* locks(ctx, [key, entity]) {
  const id = EntityInstanceId.fromString(entity);
  ctx.entities.signalEntity(id, "add", 1);
  yield ctx.callActivity(work, [key, "a"]);
  const lock = yield ctx.entities.lockEntities(id);
  const sum = yield ctx.entities.callEntity(id, "add", 10);
  lock.release();
  return sum;
};

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};

const parentOfWaiting = async function* parentOfWaiting(ctx, instanceId) {
  return yield ctx.callSubOrchestrator(waits, undefined, { instanceId });
};

const hub = useHub({
  orchestrators: [
    chain, spread, gated, sleepy, stumbles, parent, patient, siblings, impatient, locks, waits, parentOfWaiting,
  ],
  activities: [work, waitsAtGate],
  entities: [Counter],
});

/** A key for this scenario, with what is out of order for it. */
function scenario(...names) {
  const key = hub.unique("scenario");
  for (const name of names) broken.add(`${key} ${name}`);
  return { key, repair: (name) => broken.delete(`${key} ${name}`) };
}

/** An orchestration that a raw worker runs and has let fail in its first turn. */
async function failedRaw() {
  const name = hub.unique("raw");
  const worker = await hub.rawWorker({ orchestrations: [name] });
  const id = await hub.start(name, "in");
  const first = await worker.turn();
  await worker.answerTurn(first, actions.newCompleteOrchestrationAction(
    1, FAILED, undefined, actions.newFailureDetails(new Error("so be it"))));
  assert.match((await hub.failed(id)).message, /so be it/);
  return { worker, id, first };
}

const rewind = (id, reason = "repaired") => hub.client.rewindInstance(id, reason);
const types = async (id) => (await hub.history(id)).map((event) => event.type);

test("trap_70_only_the_failed_activity_runs_again", async () => {
  const { key, repair } = scenario("b");
  const id = await hub.start(chain, [key, "a", "b", "c"]);
  assert.match((await hub.failed(id)).message, /b is out of order/);
  repair("b");
  await rewind(id);
  assert.deepEqual(await hub.completed(id), ["a done", "b done", "c done"]);
  assert.deepEqual(ran(key), ["a", "b", "b", "c"]);
  assert.equal((await hub.state(id)).failureDetails, undefined);
});

test("trap_70_rewinding_works_again_and_again", async () => {
  const { key, repair } = scenario("a", "b");
  const id = await hub.start(chain, [key, "a", "b"]);
  const executions = new Set();
  for (const name of ["a", "b"]) {
    assert.match((await hub.failed(id)).message, new RegExp(`${name} is out of order`));
    executions.add(await hub.executionId(id));
    repair(name);
    await rewind(id, name);
  }
  assert.deepEqual(await hub.completed(id), ["a done", "b done"]);
  assert.deepEqual(ran(key), ["a", "a", "b", "b"]);
  executions.add(await hub.executionId(id));
  assert.equal(executions.size, 3);
});

test("rewinding what is still out of order fails again", async () => {
  const { key, repair } = scenario("a");
  const id = await hub.start(chain, [key, "a"]);
  await hub.failed(id);
  await rewind(id);
  await eventually(() => ran(key).length === 2, "the second run");
  assert.match((await hub.failed(id)).message, /a is out of order/);
  repair("a");
  await rewind(id);
  assert.deepEqual(await hub.completed(id), ["a done"]);
});

test("trap_70_of_many_at_once_only_the_failed_run_again", async () => {
  const { key, repair } = scenario("b", "d");
  const names = ["a", "b", "c", "d", "e"];
  const id = await hub.start(spread, [key, ...names]);
  await hub.failed(id);
  for (const name of ["b", "d"]) repair(name);
  await rewind(id);
  assert.deepEqual(await hub.completed(id), names.map((name) => `${name} done`));
  assert.deepEqual(ran(key).sort(), [...names, "b", "d"].sort());
});

test("trap_69_only_a_failed_instance_can_be_rewound", async () => {
  const completed = await hub.start(chain, [hub.unique("fine")]);
  await hub.completed(completed);
  const [running, suspended] = [await hub.start(waits), await hub.start(waits)];
  await hub.reaches(running, RUNNING);
  await hub.reaches(suspended, RUNNING);
  await hub.client.suspendOrchestration(suspended);
  await hub.reaches(suspended, SUSPENDED);
  const terminated = await hub.start("nobody-runs-this");
  await hub.client.terminateOrchestration(terminated);
  const pending = await hub.start("nobody-runs-this");
  for (const id of [completed, running, suspended, terminated, pending]) {
    const before = await hub.state(id);
    await assert.rejects(rewind(id), /not allow|precondition|running/i);
    const request = build(pb.RewindInstanceRequest, { instanceid: id });
    await hub.refused(hub.call("rewindInstance", request), grpc.status.FAILED_PRECONDITION);
    assert.deepEqual(await hub.state(id), before);
  }
  for (const id of [running, suspended, pending]) await hub.client.terminateOrchestration(id);
});

test("rewinding a missing instance is refused", async () => {
  await assert.rejects(rewind(hub.unique("missing")), /was not found/);
});

test("a rewind needs no reason", async () => {
  const { key, repair } = scenario("a");
  const id = await hub.start(chain, [key, "a"]);
  await hub.failed(id);
  repair("a");
  await hub.call("rewindInstance", build(pb.RewindInstanceRequest, { instanceid: id }));
  assert.deepEqual(await hub.completed(id), ["a done"]);
});

test("a rewound instance runs as if it had not ended", async () => {
  const { key, repair } = scenario("a");
  const gate = hub.unique("gate");
  const id = await hub.start(gated, [key, gate]);
  await hub.failed(id);
  const failed = await hub.rawState(id);
  repair("a");
  await rewind(id);
  await gates.at(gate).reached();
  const state = await hub.rawState(id);
  assert.equal(state.getOrchestrationstatus(), RUNNING);
  assert.ok(!state.hasFailuredetails() && !state.hasOutput() && !state.hasCompletedtimestamp());
  assert.equal(state.getCustomstatus().getValue(), '"before"');
  assert.notEqual(state.getExecutionid().getValue(), failed.getExecutionid().getValue());
  assert.deepEqual(state.getCreatedtimestamp().toObject(), failed.getCreatedtimestamp().toObject());
  assert.equal(state.getInput().getValue(), failed.getInput().getValue());
  gates.at(gate).open();
  await hub.completed(id);
  assert.equal((await hub.state(id)).serializedCustomStatus, '"after"');
});

test("who waits for a rewound instance gets its new end", async () => {
  const { key, repair } = scenario("a");
  const gate = hub.unique("gate");
  const id = await hub.start(gated, [key, gate]);
  await hub.failed(id);
  repair("a");
  await rewind(id);
  const [state] = await Promise.all([hub.ended(id), gates.at(gate).open()]);
  assert.equal(state.runtimeStatus, COMPLETED);
});

for (const when of ["before", "after"]) {
  test(`what was still going on and ends ${when} the rewind is not waited for in vain`, async () => {
    const { key, repair } = scenario("a");
    const [gate, child] = [hub.unique("gate"), hub.unique("child")];
    const id = await hub.start(impatient, [key, gate, child]);
    await hub.failed(id);
    await gates.at(gate).reached();
    await hub.reaches(child, RUNNING);
    const finish = async () => {
      gates.at(gate).open();
      await hub.client.raiseOrchestrationEvent(child, "go", "grown");
      await hub.completed(child);
    };
    if (when === "before") await finish();
    repair("a");
    await rewind(id);
    if (when === "after") await finish();
    assert.deepEqual(await hub.completed(id), ["a done", "grown"]);
  });
}

test("failures in the orchestrator's own code can be rewound", async () => {
  const { key, repair } = scenario("code");
  const id = await hub.start(stumbles, key);
  assert.match((await hub.failed(id)).message, /the code is out of order/);
  repair("code");
  await rewind(id);
  assert.equal(await hub.completed(id), "a done");
  assert.deepEqual(ran(key), ["a"], "its activity is not run again");
});

test("timers and events before the failure are not waited for again", async () => {
  const { key, repair } = scenario("a");
  const id = await hub.start(sleepy, key);
  await hub.client.raiseOrchestrationEvent(id, "go", "once");
  await hub.failed(id);
  repair("a");
  await rewind(id);
  assert.deepEqual(await hub.completed(id), ["once", "a done"]);
  const kinds = await types(id);
  for (const type of ["TimerFired", "EventRaised"]) assert.equal(kinds.filter((kind) => kind === type).length, 1);
});

test("the history says that there was a rewind and why, and forgets the failure", async () => {
  const { key, repair } = scenario("b");
  const id = await hub.start(chain, [key, "a", "b"]);
  await hub.failed(id);
  repair("b");
  await rewind(id, "spare part arrived");
  await hub.completed(id);
  const history = await hub.history(id);
  assert.deepEqual(history.map((event) => event.type), [
    "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
    "OrchestratorStarted", "TaskCompleted",
    "OrchestratorStarted", "ExecutionRewound",
    "OrchestratorStarted", "TaskScheduled",
    "OrchestratorStarted", "TaskCompleted", "ExecutionCompleted",
  ]);
  const rewound = history.find((event) => event.type === "ExecutionRewound");
  assert.equal(rewound.reason, "spare part arrived");
  assert.equal(rewound.eventId, -1);
  assert.equal(history[1].orchestrationInstance.executionId, await hub.executionId(id));
});

test("trap_31_a_worker_does_not_see_that_there_was_a_rewind", async () => {
  const { worker, id } = await failedRaw();
  await rewind(id);
  const { request, token } = await worker.turn();
  const past = request.getPasteventsList();
  assert.ok(past.some((event) => event.hasExecutionstarted()));
  assert.ok(past.every((event) => !event.hasExecutionrewound() && !event.hasExecutioncompleted()));
  const started = past.find((event) => event.hasExecutionstarted()).getExecutionstarted();
  assert.equal(started.getOrchestrationinstance().getExecutionid().getValue(), await hub.executionId(id));
  assert.equal(request.getExecutionid().getValue(), await hub.executionId(id));
  assert.deepEqual(request.getNeweventsList().map((event) => event.hasOrchestratorstarted()), [true]);
  await worker.complete({ request, token }, 1, "better");
  assert.equal(await hub.completed(id), "better");
});

test("a late answer to a turn from before the rewind changes nothing", async () => {
  const { worker, id, first } = await failedRaw();
  await rewind(id);
  await worker.complete(first, 1, "too late");
  assert.equal((await hub.state(id)).runtimeStatus, RUNNING);
  await worker.complete(await worker.turn(), 1, "in time");
  assert.equal(await hub.completed(id), "in time");
});

test("trap_70_a_failed_child_is_rewound_with_its_parent", async () => {
  const { key, repair } = scenario("second");
  const child = hub.unique("child");
  const id = await hub.start(parent, [key, child, 1]);
  await hub.failed(id);
  const before = await hub.executionId(child);
  repair("second");
  await rewind(id, "together");
  assert.deepEqual(await hub.completed(id), ["before 1 done", ["first done", "second done"], "after 1 done"]);
  assert.deepEqual(ran(key), ["before 1", "first", "second", "second", "after 1"]);
  assert.equal((await hub.state(child)).runtimeStatus, COMPLETED);
  assert.notEqual(await hub.executionId(child), before);
  assert.deepEqual((await hub.state(child)).tags, { colour: "red" });
  assert.ok((await types(child)).includes("ExecutionRewound"));
  const [, started] = await hub.history(child);
  const link = started.parentInstance.orchestrationInstance;
  assert.deepEqual(link, { instanceId: id, executionId: await hub.executionId(id) }, "trap 72: the new execution's");
});

test("trap_70_grandchildren_are_rewound_too", async () => {
  const { key, repair } = scenario("second");
  const child = hub.unique("child");
  const id = await hub.start(parent, [key, child, 3]);
  await hub.failed(id);
  repair("second");
  await rewind(id);
  await hub.completed(id);
  assert.deepEqual(ran(key), [
    "before 3", "before 2", "before 1", "first", "second", "second", "after 1", "after 2", "after 3",
  ]);
  for (const each of [child, `${child}c`, `${child}cc`]) {
    assert.equal((await hub.state(each)).runtimeStatus, COMPLETED);
  }
});

test("of several children only the failed are rewound", async () => {
  const children = [hub.unique("one"), hub.unique("two"), hub.unique("three")];
  const [one, two, three] = children;
  const { key, repair } = scenario(two);
  const id = await hub.start(siblings, [key, ...children]);
  const results = async () =>
    (await types(id)).filter((type) => type === "SubOrchestrationInstanceCompleted").length;
  for (const child of children) await hub.reaches(child, RUNNING);
  for (const child of [one, three]) await hub.client.raiseOrchestrationEvent(child, "go");
  await settles(results, 2);
  await hub.client.raiseOrchestrationEvent(two, "go");
  await hub.failed(id);
  const before = await Promise.all(children.map((child) => hub.executionId(child)));
  repair(two);
  await rewind(id);
  assert.deepEqual(await hub.completed(id), children.map((child) => `${child} done`));
  assert.deepEqual(ran(key).sort(), [one, three, two, two].sort());
  const after = await Promise.all(children.map((child) => hub.executionId(child)));
  assert.deepEqual([after[0], after[2]], [before[0], before[2]]);
  assert.notEqual(after[1], before[1]);
});

test("trap_70_a_child_that_was_purged_is_made_again", async () => {
  const { key, repair } = scenario("second");
  const child = hub.unique("child");
  const id = await hub.start(parent, [key, child, 1]);
  await hub.failed(id);
  assert.equal((await hub.client.purgeOrchestration(child)).deletedInstanceCount, 1);
  repair("second");
  await rewind(id);
  assert.deepEqual(await hub.completed(id), ["before 1 done", ["first done", "second done"], "after 1 done"]);
  assert.deepEqual(ran(key), ["before 1", "first", "second", "first", "second", "after 1"], "from its beginning");
  const made = await hub.rawState(child);
  assert.equal(made.getParentinstanceid().getValue(), id);
  assert.deepEqual((await hub.state(child)).tags, { colour: "red" });
});

test("a child that was terminated runs afresh", async () => {
  const child = hub.unique("child");
  const id = await hub.start(parentOfWaiting, child);
  await hub.reaches(child, RUNNING);
  await hub.client.terminateOrchestration(child, "not now");
  await hub.failed(id);
  assert.equal((await hub.state(child)).runtimeStatus, TERMINATED);
  await rewind(id);
  await settles(async () => (await hub.state(child)).runtimeStatus, RUNNING);
  await hub.client.raiseOrchestrationEvent(child, "go", "now");
  assert.equal(await hub.completed(id), "now");
});

test("trap_72_a_rewound_orchestration_locks_and_calls_entities", async () => {
  const { key, repair } = scenario("a");
  const counter = hub.newEntity(Counter);
  const id = await hub.start(locks, [key, counter]);
  await hub.failed(id);
  await hub.entitySettles(counter, 1);
  repair("a");
  await rewind(id);
  assert.equal(await hub.completed(id), 11, "the signal of before was not sent again");
  await hub.lockedBy(counter, undefined);
});

test("an instance that was rewound can fail for good and be restarted", async () => {
  const { key, repair } = scenario("a");
  const id = await hub.start(chain, [key, "a", "b"]);
  await hub.failed(id);
  await rewind(id);
  await eventually(() => ran(key).length === 2, "the second run");
  await hub.reaches(id, FAILED);
  repair("a");
  await hub.client.restartOrchestration(id);
  assert.deepEqual(await hub.completed(id), ["a done", "b done"]);
  assert.ok(!(await types(id)).includes("ExecutionRewound"));
});
