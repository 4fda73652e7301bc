// What is recorded of an execution, and how it is read.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Counter } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { grpc, sdk, text } from "../support/sdk.mjs";

const { EntityInstanceId, OrchestrationStatus, terminateOptions, whenAll } = sdk;

const step = async (_, input) => `stepped over ${input}`;
const refuses = async () => {
  throw new TypeError("not this one");
};
const child = async (_, input) => `child of ${input}`;

const story = async function* story(ctx, input) {
  yield ctx.callActivity(step, input, { tags: { colour: "red" } });
  yield ctx.createTimer(0.1);
  return yield ctx.callSubOrchestrator(child, input);
};

const failing = async function* failing(ctx) {
  yield ctx.callActivity(refuses);
};

const generations = async function* generations(ctx, left) {
  yield ctx.callActivity(step, left);
  if (left > 0) ctx.continueAsNew(left - 1, true);
  else return "last";
};

const messages = async function* messages(ctx, target) {
  ctx.sendEvent(target, "hello", { from: "afar" });
  return yield ctx.waitForExternalEvent("reply");
};

const waits = async function* waits(ctx, name) {
  return yield ctx.waitForExternalEvent(name);
};

const wide = async function* wide(ctx, width) {
  yield whenAll(Array.from({ length: width }, (_, n) => ctx.callActivity(step, "x".repeat(1000) + n)));
};

const visits = async function* visits(ctx, entity) {
  const id = EntityInstanceId.fromString(entity);
  ctx.entities.signalEntity(id, "add", 1);
  const lock = yield ctx.entities.lockEntities(id);
  yield ctx.entities.callEntity(id, "get");
  try {
    yield ctx.entities.callEntity(id, "spoil", "on purpose");
  } catch {
    lock.release();
  }
};

const hub = useHub({
  orchestrators: [story, child, failing, generations, messages, waits, wide, visits],
  activities: [step, refuses],
  entities: [Counter],
});

const types = (history) => history.map((event) => event.type);

test("trap_24_activity_timer_and_child_leave_exactly_twelve_events", async () => {
  const id = await hub.start(story, "in", { tags: { shape: "round" } });
  await hub.completed(id);
  const history = await hub.history(id);
  assert.deepEqual(types(history), [
    "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
    "OrchestratorStarted", "TaskCompleted", "TimerCreated",
    "OrchestratorStarted", "TimerFired", "SubOrchestrationInstanceCreated",
    "OrchestratorStarted", "SubOrchestrationInstanceCompleted", "ExecutionCompleted",
  ]);
  const [, started, scheduled, , completed, created, again, fired, begun, , ended, last] = history;

  assert.equal(started.name, "story");
  assert.equal(started.input, '"in"');
  assert.deepEqual(started.orchestrationInstance, { instanceId: id, executionId: await hub.executionId(id) });
  assert.deepEqual(started.tags, { shape: "round" });
  assert.equal(started.parentInstance, undefined);
  assert.equal(started.version, undefined);
  assert.deepEqual([scheduled.name, scheduled.input, scheduled.tags], ["step", '"in"', { colour: "red" }]);
  assert.deepEqual([completed.taskScheduledId, completed.result], [scheduled.eventId, '"stepped over in"']);
  assert.equal(fired.timerId, created.eventId);
  assert.deepEqual(fired.fireAt, created.fireAt, "trap 29: it says when it was due");
  assert.ok(again.timestamp >= fired.fireAt, "trap 28: the orchestrator's clock is not behind its timer");
  assert.deepEqual([begun.name, begun.input], ["child", '"in"']);
  assert.deepEqual([ended.taskScheduledId, ended.result], [begun.eventId, '"child of in"']);
  assert.equal(last.orchestrationStatus, "ORCHESTRATION_STATUS_COMPLETED");
  assert.equal(last.result, '"child of in"');

  const [, childStarted] = await hub.history(begun.instanceId);
  assert.equal(childStarted.parentInstance.name, "story");
  assert.equal(childStarted.parentInstance.taskScheduledId, begun.eventId);
  assert.deepEqual(childStarted.parentInstance.orchestrationInstance, started.orchestrationInstance);
});

test("trap_25_decisions_have_rising_ids_and_everything_has_a_time", async () => {
  const id = await hub.start(story, 1);
  await hub.completed(id);
  const history = await hub.history(id);
  const decided = /^(TaskScheduled|TimerCreated|SubOrchestrationInstanceCreated|ExecutionCompleted)$/;
  const ids = history.filter((event) => decided.test(event.type)).map((event) => event.eventId);
  assert.deepEqual(ids, [1, 2, 3, 4], "trap 26: the last one's is the action's as well");
  assert.ok(history.filter((event) => !decided.test(event.type)).every((event) => event.eventId === -1));
  assert.ok(history.every((event) => event.timestamp.getTime() > 0));
  const clock = history.filter((event) => event.type === "OrchestratorStarted").map((event) => event.timestamp);
  assert.deepEqual(clock, [...clock].sort((a, b) => a - b));
});

test("trap_27_there_is_no_history_of_what_does_not_exist_or_has_not_begun", async () => {
  assert.deepEqual(await hub.history(hub.unique("missing")), []);
  const id = await hub.start("nobody-runs-this");
  assert.deepEqual(await hub.history(id), []);
  await hub.client.terminateOrchestration(id);
});

test("a failure is recorded where it happened and where it ended", async () => {
  const id = await hub.start(failing);
  await hub.failed(id);
  const history = await hub.history(id);
  assert.deepEqual(types(history), [
    "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
    "OrchestratorStarted", "TaskFailed", "ExecutionCompleted",
  ]);
  const [, , scheduled, , failed, last] = history;
  assert.equal(failed.taskScheduledId, scheduled.eventId);
  assert.match(failed.failureDetails.message, /not this one/);
  assert.equal(last.orchestrationStatus, "ORCHESTRATION_STATUS_FAILED");
  assert.match(last.failureDetails.message, /not this one/);
});

test("only the current generation has a history", async () => {
  const id = await hub.start(generations, 2);
  await hub.completed(id);
  const history = await hub.history(id);
  assert.deepEqual(types(history), [
    "OrchestratorStarted", "ExecutionStarted", "TaskScheduled",
    "OrchestratorStarted", "TaskCompleted", "ExecutionCompleted",
  ]);
  const executionId = await hub.executionId(id);
  assert.deepEqual([history[1].input, history[1].orchestrationInstance.executionId], ["0", executionId]);
  const chunks = await hub.historyChunks({ instanceid: id, executionid: text(executionId) });
  assert.equal(chunks.flatMap((chunk) => chunk.getEventsList()).length, history.length);
  const other = hub.historyChunks({ instanceid: id, executionid: text(randomUUID().replaceAll("-", "")) });
  await hub.refused(other, grpc.status.NOT_FOUND);
});

test("trap_35_sending_is_recorded_with_the_sender_and_receiving_with_the_receiver", async () => {
  const receiver = await hub.start(waits, "hello");
  const sender = await hub.start(messages, receiver);
  await hub.client.raiseOrchestrationEvent(sender, "reply", 1);
  await hub.completed(sender);
  await hub.completed(receiver);
  const sent = (await hub.history(sender)).filter((event) => /^Event/.test(event.type));
  assert.deepEqual(types(sent), ["EventSent", "EventRaised"]);
  assert.deepEqual([sent[0].instanceId, sent[0].name, sent[0].input], [receiver, "hello", '{"from":"afar"}']);
  const received = (await hub.history(receiver)).filter((event) => /^Event/.test(event.type));
  assert.deepEqual(types(received), ["EventRaised"]);
  assert.deepEqual([received[0].name, received[0].input], ["hello", '{"from":"afar"}']);
});

test("suspending, resuming and terminating are recorded", async () => {
  const id = await hub.start(waits, "never");
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.suspendOrchestration(id);
  await hub.reaches(id, OrchestrationStatus.SUSPENDED);
  await hub.client.resumeOrchestration(id);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.terminateOrchestration(id, terminateOptions({ output: "over", recursive: true }));
  await hub.reaches(id, OrchestrationStatus.TERMINATED);
  const history = await hub.history(id);
  const lifecycle = history.filter((event) => /^Execution/.test(event.type));
  assert.deepEqual(types(lifecycle), [
    "ExecutionStarted", "ExecutionSuspended", "ExecutionResumed", "ExecutionTerminated", "ExecutionCompleted",
  ]);
  assert.deepEqual([lifecycle[3].input, lifecycle[3].recurse], ['"over"', true]);
  assert.equal(lifecycle[4].orchestrationStatus, "ORCHESTRATION_STATUS_TERMINATED");
});

test("trap_07_an_instance_ended_before_it_began_has_the_shortest_history", async () => {
  const id = await hub.start("nobody-runs-this", "in");
  await hub.client.terminateOrchestration(id, "unwanted");
  assert.equal((await hub.state(id)).serializedOutput, '"unwanted"');
  assert.deepEqual(types(await hub.history(id)), [
    "OrchestratorStarted", "ExecutionStarted", "ExecutionTerminated", "ExecutionCompleted",
  ]);
});

test("a long history comes in small chunks, whole and in order", async () => {
  const id = await hub.start(wide, 400);
  await hub.completed(id);
  const chunks = await hub.historyChunks({ instanceid: id });
  assert.ok(chunks.length > 1);
  for (const chunk of chunks) {
    assert.ok(chunk.getEventsList().length <= 500);
    assert.ok(chunk.serializeBinary().length <= 256 * 1024);
  }
  const history = await hub.history(id);
  assert.equal(history.length, chunks.reduce((sum, chunk) => sum + chunk.getEventsList().length, 0));
  const scheduled = history.filter((event) => event.type === "TaskScheduled");
  assert.deepEqual(scheduled.map((event) => event.eventId), Array.from({ length: 400 }, (_, n) => n + 1));
  const completed = history.filter((event) => event.type === "TaskCompleted").map((event) => event.taskScheduledId);
  assert.deepEqual(completed.sort((a, b) => a - b), scheduled.map((event) => event.eventId));
});

test("trap_33_dealings_with_entities_are_recorded_with_their_actions_ids_and_targets", async () => {
  const counter = `${hub.newEntity(Counter)}`;
  const id = await hub.start(visits, counter);
  await hub.completed(id);
  const history = await hub.history(id);
  assert.deepEqual(types(history), [
    "OrchestratorStarted", "ExecutionStarted", "EntityOperationSignaled", "EntityLockRequested",
    "OrchestratorStarted", "EntityLockGranted", "EntityOperationCalled",
    "OrchestratorStarted", "EntityOperationCompleted", "EntityOperationCalled",
    "OrchestratorStarted", "EntityOperationFailed", "EntityUnlockSent", "ExecutionCompleted",
  ]);
  const [, , signaled, requested, , granted, called, , answered, calledAgain, , failed, unlocked, last] = history;
  const decisions = [signaled, requested, called, calledAgain, unlocked, last];
  assert.deepEqual(decisions.map((event) => event.eventId), [1, 2, 3, 4, 5, 6]);
  for (const event of [granted, answered, failed]) assert.equal(event.eventId, -1);
  assert.ok(history.every((event) => event.timestamp.getTime() > 0));
  for (const event of [signaled, called, calledAgain, unlocked]) {
    assert.equal(event.targetInstanceId, counter, `trap 32: ${event.type} has its target`);
  }
  assert.deepEqual([requested.lockSet, requested.position], [[counter], 0]);
  assert.equal(granted.criticalSectionId, requested.criticalSectionId);
  assert.equal(unlocked.criticalSectionId, requested.criticalSectionId);
  assert.deepEqual([called.operation, answered.requestId, answered.output], ["get", called.requestId, "1"]);
  assert.deepEqual([calledAgain.operation, failed.requestId], ["spoil", calledAgain.requestId]);
  assert.match(failed.failureDetails.message, /on purpose/);
});
