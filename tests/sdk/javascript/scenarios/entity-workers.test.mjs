// Who runs an entity's operations, and what happens when workers fail, leave, or answer strangely.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Counter, Journal, gates } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { actions, build, pb, sdk, text } from "../support/sdk.mjs";

const { EntityInstanceId, OrchestrationStatus } = sdk;
const GUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/;

const calls = async function* calls(ctx, [entity, operation, input]) {
  return yield ctx.entities.callEntity(EntityInstanceId.fromString(entity), operation, input);
};

const callsInside = async function* callsInside(ctx, [entity, operation, input]) {
  const id = EntityInstanceId.fromString(entity);
  const lock = yield ctx.entities.lockEntities(id);
  const result = yield ctx.entities.callEntity(id, operation, input);
  lock.release();
  return result;
};

// Only orchestrations are shared: each scenario decides who runs its entities.
const hub = useHub({ orchestrators: [calls, callsInside] });

/** An entity that raw workers run, and the worker that gets its batches. */
async function rawEntity(options) {
  const name = hub.unique("raw");
  return { id: `@${name}@key`, name, worker: await hub.rawWorker({ entities: [name], ...options }) };
}

const rawSignal = (instanceid, name, input, requestid = randomUUID()) =>
  hub.call("signalEntity", build(pb.SignalEntityRequest, { instanceid, name, input: text(input), requestid }));

const signalled = (batch) =>
  batch.request.getOperationrequestsList().map((event) => event.getEntityoperationsignaled().getOperation());

test("trap_94_a_batch_lost_with_its_worker_is_run_again_and_counts_once", async () => {
  const [counter, gate] = [hub.newEntity(Counter), hub.unique("gate")];
  const lost = await hub.worker({ entities: [Counter], workItemFilters: "auto" });
  await hub.signal(counter, "addAt", { gate, amount: 1 });
  await gates.at(gate).reached(1);
  // The worker leaves with the operation still running, and finishes it after another has it too.
  const left = hub.stopWorker(lost);
  await hub.worker({ entities: [Counter], workItemFilters: "auto" });
  await gates.at(gate).reached(2);
  gates.at(gate).open();
  await Promise.all([left, hub.entitySettles(counter, 1)]);
  assert.equal(await hub.run(calls, [counter, "add", 1]), 2);
  assert.equal(gates.at(gate).arrivals, 2);
});

test("trap_94_a_batch_lost_inside_a_section_leaks_no_lock", async () => {
  const { id, name, worker } = await rawEntity();
  const caller = await hub.start(callsInside, [id, "work", 1]);
  await hub.lockedBy(id, caller);
  await worker.batch();
  worker.drop();
  const next = await hub.rawWorker({ entities: [name] });
  await next.answerBatch(await next.batch(), { state: '"worked"', results: ["2"] });
  assert.equal(await hub.completed(caller), 2);
  await hub.lockedBy(id, undefined);
  const again = await hub.start(callsInside, [id, "work", 2]);
  await next.answerBatch(await next.batch(), { state: '"worked"', results: ["3"] });
  assert.equal(await hub.completed(again), 3);
});

test("trap_80_a_late_or_repeated_answer_changes_nothing", async () => {
  const { id, name, worker } = await rawEntity();
  const caller = await hub.start(calls, [id, "ask"]);
  await hub.reaches(caller, OrchestrationStatus.RUNNING);
  const early = await worker.batch();
  worker.stream.cancel();
  const next = await hub.rawWorker({ entities: [name] });
  const batch = await next.batch();
  assert.notEqual(batch.token, early.token);
  await worker.answerBatch(early, { state: '"early"', results: ['"early"'] });
  assert.equal((await hub.state(caller)).runtimeStatus, OrchestrationStatus.RUNNING);
  assert.equal(await hub.rawEntity(id), undefined);
  await next.answerBatch(batch, { state: '"in time"', results: ['"in time"'] });
  await next.answerBatch(batch, { state: '"again"', results: ['"again"'] });
  assert.equal(await hub.completed(caller), "in time");
  assert.equal((await hub.rawEntity(id)).getSerializedstate().getValue(), '"in time"');
  const answers = (await hub.history(caller)).filter((event) => event.type === "EntityOperationCompleted");
  assert.equal(answers.length, 1);
});

test("an entity nobody registered fails its callers instead of hanging", async () => {
  const counter = hub.newEntity(Counter);
  const knows = await hub.worker({ entities: [Counter], workItemFilters: "auto" });
  assert.equal(await hub.run(calls, [counter, "add", 3]), 3);
  await hub.stopWorker(knows);
  // It asks for the entity's operations without knowing the entity.
  await hub.worker({ entities: [Journal], workItemFilters: { entities: [{ name: "counter" }] } });
  const failure = await hub.failed(await hub.start(calls, [counter, "add", 1]));
  assert.match(failure.message, /No entity task named 'counter'/);
  assert.equal(await hub.entityState(counter), 3, "its state is as it was");
});

test("trap_79_a_factory_that_fails_keeps_the_state_and_at_last_fails_the_caller", async () => {
  let attempts = 0;
  let broken = false;
  class Fragile extends Counter {
    constructor() {
      super();
      attempts += 1;
      if (broken) throw new Error(`cannot be made, attempt ${attempts}`);
    }
  }
  await hub.worker({ entities: [Fragile], workItemFilters: "auto" });
  const fragile = hub.newEntity(Fragile);
  assert.equal(await hub.run(calls, [fragile, "add", 7]), 7);
  [broken, attempts] = [true, 0];
  const failure = await hub.failed(await hub.start(calls, [fragile, "add", 1]));
  assert.match(failure.message, /cannot be made/);
  assert.equal(attempts, 3, "it was tried again before");
  assert.equal(await hub.entityState(fragile), 7);
  broken = false;
  assert.equal(await hub.run(calls, [fragile, "add", 1]), 8);
});

test("trap_79_a_factory_that_recovers_loses_nothing", async () => {
  let failures = 0;
  class Shaky extends Counter {
    constructor() {
      super();
      if (failures > 0) throw new Error(`${failures--} to go`);
    }
  }
  await hub.worker({ entities: [Shaky], workItemFilters: "auto" });
  const shaky = hub.newEntity(Shaky);
  assert.equal(await hub.run(calls, [shaky, "add", 1]), 1);
  failures = 1;
  await hub.signal(shaky, "add", 1);
  assert.equal(await hub.run(calls, [shaky, "add", 1]), 3);
});

test("trap_50_a_worker_without_entities_gets_none", async () => {
  const counter = hub.newEntity(Counter);
  await hub.worker({ entities: [Journal], workItemFilters: "auto" });
  await hub.signal(counter, "add", 1);
  const caller = await hub.start(calls, [counter, "add", 1]);
  await hub.backlog(counter, 2);
  const journal = hub.newEntity(Journal);
  assert.equal(await hub.run(calls, [journal, "append", "mine"]), 1, "others are not held up");
  assert.equal((await hub.state(caller)).runtimeStatus, OrchestrationStatus.RUNNING);
  assert.equal(await hub.client.getEntity(counter), undefined);
  await hub.worker({ entities: [Counter], workItemFilters: "auto" });
  assert.equal(await hub.completed(caller), 2);
});

test("trap_82_filters_name_entities_in_any_case", async () => {
  const name = hub.unique("Mixed");
  const worker = await hub.rawWorker({ entities: [name] });
  await rawSignal(`@${name.toUpperCase()}@Key`, "go");
  const batch = await worker.batch();
  assert.equal(batch.request.getInstanceid(), `@${name.toLowerCase()}@Key`);
  await worker.answerBatch(batch, { results: ["null"] });
});

test("a long backlog is worked off in order by whoever comes", async () => {
  const journal = hub.newEntity(Journal);
  const entries = Array.from({ length: 150 }, (_, n) => n);
  for (const n of entries) await hub.signal(journal, "append", n);
  await hub.backlog(journal, 150);
  await Promise.all([1, 2, 3].map(() => hub.worker({ entities: [Journal], workItemFilters: "auto" })));
  await hub.entitySettles(journal, entries);
  assert.equal((await hub.client.getEntity(journal)).backlogQueueSize, 0);
});

test("an entity's operations never overlap, whoever runs them", async () => {
  const inside = new Map();
  let overlaps = 0;
  class Slow extends sdk.TaskEntity {
    async work(n) {
      const key = this.context.id.key;
      if (inside.get(key)) overlaps += 1;
      inside.set(key, true);
      await new Promise((resolve) => setImmediate(resolve));
      inside.set(key, false);
      this.state.done = [...(this.state.done ?? []), n];
    }
  }
  await Promise.all([1, 2, 3].map(() => hub.worker({ entities: [Slow], workItemFilters: "auto" })));
  const [one, two] = [hub.newEntity(Slow), hub.newEntity(Slow)];
  for (let n = 0; n < 30; n++) await Promise.all([hub.signal(one, "work", n), hub.signal(two, "work", n)]);
  const done = Array.from({ length: 30 }, (_, n) => n);
  await hub.entitySettles(one, { done });
  await hub.entitySettles(two, { done });
  assert.equal(overlaps, 0);
});

test("operations a worker did not get to come back in order", async () => {
  const { id, worker } = await rawEntity();
  await rawSignal(id, "first");
  const first = await worker.batch();
  for (const name of ["a", "b", "c"]) await rawSignal(id, name);
  await worker.answerBatch(first, { state: "0", results: ["null"] });
  const batch = await worker.batch();
  assert.deepEqual(signalled(batch), ["a", "b", "c"]);
  await rawSignal(id, "d");
  await worker.answerBatch(batch, { state: "1", results: ["null"] });
  const rest = await worker.batch();
  assert.deepEqual(signalled(rest), ["b", "c", "d"]);
  assert.equal(rest.request.getEntitystate().getValue(), "1");
  await worker.answerBatch(rest, { state: "4", results: ["null", "null", "null"] });
  assert.equal((await hub.rawEntity(id)).getSerializedstate().getValue(), "4");
});

test("trap_54_an_abandoned_batch_comes_back", async () => {
  const { id, worker } = await rawEntity();
  await rawSignal(id, "go");
  const first = await worker.batch();
  await worker.abandonBatch(first);
  const second = await worker.batch();
  assert.notEqual(second.token, first.token);
  assert.deepEqual(signalled(second), ["go"]);
  await worker.answerBatch(second, { state: "1", results: ["null"] });
  await worker.abandonBatch(second);
  assert.equal((await hub.rawEntity(id)).getSerializedstate().getValue(), "1");
});

test("trap_62_operations_come_in_the_second_form_with_guids", async () => {
  const { id, worker } = await rawEntity();
  await rawSignal(id, "Signalled", '{"a":1}', "");
  const first = await worker.batch();
  assert.equal(first.request.getInstanceid(), id);
  assert.ok(!first.request.hasEntitystate(), "no state yet");
  const [event] = first.request.getOperationrequestsList();
  assert.equal(event.getEventid(), -1);
  assert.ok(event.getTimestamp().getSeconds() > 0);
  const signal = event.getEntityoperationsignaled();
  assert.match(signal.getRequestid(), GUID);
  assert.equal(signal.getOperation(), "Signalled");
  assert.equal(signal.getInput().getValue(), '{"a":1}');
  await worker.answerBatch(first, { state: '"s"', results: ["null"] });

  const caller = await hub.start(calls, [id, "Called", 2]);
  const second = await worker.batch();
  assert.equal(second.request.getEntitystate().getValue(), '"s"');
  const called = second.request.getOperationrequestsList()[0].getEntityoperationcalled();
  assert.match(called.getRequestid(), GUID);
  assert.equal(called.getParentinstanceid().getValue(), caller);
  assert.equal(called.getParentexecutionid().getValue(), await hub.executionId(caller));
  await worker.answerBatch(second, { state: '"s"', results: ['"answer"'] });
  assert.equal(await hub.completed(caller), "answer");
});

test("an empty text is a state, and only no state is none", async () => {
  const { id, worker } = await rawEntity();
  await rawSignal(id, "go");
  await worker.answerBatch(await worker.batch(), { state: "", results: ["null"] });
  assert.equal((await hub.rawEntity(id)).getSerializedstate().getValue(), "");
  await rawSignal(id, "go");
  const batch = await worker.batch();
  assert.equal(batch.request.getEntitystate().getValue(), "");
  await worker.answerBatch(batch, { results: ["null"] });
  assert.equal(await hub.rawEntity(id), undefined);
});

test("trap_61_every_turn_says_that_there_are_entities", async () => {
  const name = hub.unique("raw");
  const worker = await hub.rawWorker({ orchestrations: [name] });
  await hub.start(name);
  const turn = await worker.turn();
  const window = turn.request.getEntityparameters().getEntitymessagereorderwindow();
  assert.deepEqual([window.getSeconds(), window.getNanos()], [0, 0]);
  await worker.complete(turn, 1);
});

test("trap_81_a_call_that_does_not_name_its_execution_is_answered", async () => {
  const name = hub.unique("raw");
  const { id, worker: entities } = await rawEntity();
  assert.equal(await hub.rawEntity(id), undefined);
  const worker = await hub.rawWorker({ orchestrations: [name] });
  const caller = await hub.start(name);
  const turn = await worker.turn();
  const requestId = randomUUID();
  await worker.answerTurn(
    turn, actions.newSendEntityMessageCallAction(1, id, "ask", requestId, caller, undefined, "1"));
  const batch = await entities.batch();
  const called = batch.request.getOperationrequestsList()[0].getEntityoperationcalled();
  assert.equal(called.getParentexecutionid().getValue(), turn.request.getExecutionid().getValue());
  await entities.answerBatch(batch, { results: ['"yes"'] });
  const answered = await worker.turn();
  const [, answer] = answered.request.getNeweventsList();
  assert.equal(answer.getEntityoperationcompleted().getRequestid(), requestId);
  assert.equal(answer.getEntityoperationcompleted().getOutput().getValue(), '"yes"');
  await worker.complete(answered, 2);
  await hub.completed(caller);
});

test("answers about entities that were never out are taken and ignored", async () => {
  const { worker } = await rawEntity();
  await worker.answerBatch({ token: "never given" }, { state: "1", results: ["1"] });
  await worker.abandonBatch({ token: "never given" });
});
