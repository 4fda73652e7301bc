// Locks on entities: who gets them, in which order, and how they are given up.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Counter, Journal, gates } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { actions, build, pb, sdk, text } from "../support/sdk.mjs";

const { EntityInstanceId, OrchestrationStatus } = sdk;
const ids = (names) => names.map((name) => EntityInstanceId.fromString(name));

/** Takes the locks, says so, leaves when told, and once more to be sure. */
const holds = async function* holds(ctx, entities) {
  const lock = yield ctx.entities.lockEntities(...ids(entities));
  ctx.setCustomStatus("in");
  yield ctx.waitForExternalEvent("leave");
  lock.release();
  lock.release();
  return "left";
};

/** As `holds`, and writes into the journal it holds when told. */
const writes = async function* writes(ctx, [journal, entries]) {
  const [id] = ids([journal]);
  const lock = yield ctx.entities.lockEntities(id);
  ctx.setCustomStatus("in");
  yield ctx.waitForExternalEvent("write");
  for (const entry of entries) yield ctx.entities.callEntity(id, "append", entry);
  ctx.setCustomStatus("written");
  yield ctx.waitForExternalEvent("leave");
  lock.release();
};

/** Asks for the lock right behind a signal that says so. */
const queues = async function* queues(ctx, [journal, name]) {
  const [id] = ids([journal]);
  ctx.entities.signalEntity(id, "append", `${name} asked`);
  const lock = yield ctx.entities.lockEntities(id);
  yield ctx.entities.callEntity(id, "append", `${name} in`);
  lock.release();
};

/** Adds one to each counter the unsafe way: reads, goes elsewhere, writes. */
const increments = async function* increments(ctx, [room, ...counters]) {
  const lock = yield ctx.entities.lockEntities(...ids(counters));
  yield ctx.callActivity(enter, room);
  for (const id of ids(counters)) {
    const seen = yield ctx.entities.callEntity(id, "get");
    yield ctx.entities.callEntity(id, "set", seen + 1);
  }
  yield ctx.callActivity(leave, room);
  lock.release();
};

const moves = async function* moves(ctx, [from, to, amount]) {
  const [source, target] = ids([from, to]);
  const lock = yield ctx.entities.lockEntities(source, target);
  const had = yield ctx.entities.callEntity(source, "get");
  const has = yield ctx.entities.callEntity(target, "get");
  yield ctx.entities.callEntity(source, "set", had - amount);
  yield ctx.entities.callEntity(target, "set", has + amount);
  lock.release();
};

const throwsInside = async function* throwsInside(ctx, entity) {
  yield ctx.entities.lockEntities(...ids([entity]));
  throw new Error("inside the section");
};

const throwsAndReleases = async function* throwsAndReleases(ctx, entity) {
  const lock = yield ctx.entities.lockEntities(...ids([entity]));
  try {
    yield ctx.entities.callEntity(ids([entity])[0], "spoil", "inside the section");
  } finally {
    lock.release();
  }
};

const completesInside = async function* completesInside(ctx, entity) {
  yield ctx.entities.lockEntities(...ids([entity]));
  return "never released";
};

const renewsInside = async function* renewsInside(ctx, [entity, inside]) {
  if (inside) {
    yield ctx.waitForExternalEvent("leave");
    return "outside";
  }
  yield ctx.entities.lockEntities(...ids([entity]));
  ctx.continueAsNew([entity, true], true);
};

const visitsTwice = async function* visitsTwice(ctx, counter) {
  const [id] = ids([counter]);
  for (let visit = 0; visit < 2; visit++) {
    const lock = yield ctx.entities.lockEntities(id, id, EntityInstanceId.fromString(counter));
    yield ctx.entities.callEntity(id, "add", 1);
    lock.release();
  }
  return yield ctx.entities.callEntity(id, "get");
};

const calls = async function* calls(ctx, [entity, operation, input]) {
  return yield ctx.entities.callEntity(EntityInstanceId.fromString(entity), operation, input);
};

const rooms = new Map();

const enter = async (_, name) => {
  const room = rooms.get(name);
  room.inside += 1;
  room.most = Math.max(room.most, room.inside);
  room.visits += 1;
};

const leave = async (_, name) => {
  rooms.get(name).inside -= 1;
};

const hub = useHub({
  orchestrators: [
    holds, writes, queues, increments, moves, throwsInside, throwsAndReleases, completesInside, renewsInside,
    visitsTwice, calls,
  ],
  activities: [enter, leave],
  entities: [Counter, Journal],
});

const tell = (id, event) => hub.client.raiseOrchestrationEvent(id, event);

/** Starts an orchestration that takes these locks, and waits until it has them. */
async function holder(...entities) {
  const id = await hub.start(holds, entities);
  await hub.says(id, "in");
  return id;
}

/** The entity can be locked again, and is free afterwards. */
async function isFree(...entities) {
  const id = await holder(...entities);
  await tell(id, "leave");
  assert.equal(await hub.completed(id), "left");
  for (const entity of entities) await hub.lockedBy(entity, undefined);
}

test("trap_73_lockedBy_is_the_instance_that_holds_the_lock_and_absent_after", async () => {
  const [counter, journal] = [hub.newEntity(Counter), hub.newEntity(Journal)];
  await hub.signal(counter, "add", 1);
  await hub.signal(journal, "append", "here");
  const id = await holder(counter, journal);
  for (const entity of [counter, journal]) {
    assert.equal((await hub.client.getEntity(entity)).lockedBy, id);
    assert.equal((await hub.rawEntity(entity, false)).getLockedby().getValue(), id);
  }
  await tell(id, "leave");
  await hub.completed(id);
  for (const entity of [counter, journal]) {
    await hub.lockedBy(entity, undefined);
    assert.ok(!(await hub.rawEntity(entity)).hasLockedby());
  }
  assert.equal(await hub.entityState(counter), 1);
});

test("an entity without state can be locked and does not exist for that", async () => {
  const counter = hub.newEntity(Counter);
  const id = await holder(counter);
  assert.equal(await hub.client.getEntity(counter), undefined);
  await hub.lockedBy(counter, id);
  await tell(id, "leave");
  await hub.completed(id);
  await hub.lockedBy(counter, undefined);
  assert.equal(await hub.transientEntity(counter), undefined, "nothing is left of it");
});

test("trap_76_many_orchestrations_exclude_each_other", async () => {
  const [room, first, second] = [hub.unique("room"), hub.newEntity(Counter), hub.newEntity(Counter)];
  rooms.set(room, { inside: 0, most: 0, visits: 0 });
  const started = await Promise.all(Array.from({ length: 10 }, (_, n) =>
    hub.start(increments, n % 2 ? [room, first, second] : [room, second, first])));
  await Promise.all(started.map((id) => hub.completed(id)));
  assert.deepEqual(rooms.get(room), { inside: 0, most: 1, visits: 10 });
  await hub.entitySettles(first, 10);
  await hub.entitySettles(second, 10);
});

test("two entities locked in opposite orders do not deadlock", async () => {
  const [here, there] = [hub.newEntity(Counter), hub.newEntity(Counter)];
  await hub.signal(here, "add", 100);
  await hub.signal(there, "add", 100);
  const started = await Promise.all(Array.from({ length: 10 }, (_, n) =>
    hub.start(moves, n % 2 ? [here, there, n] : [there, here, n])));
  await Promise.all(started.map((id) => hub.completed(id)));
  const moved = Array.from({ length: 10 }, (_, n) => (n % 2 ? n : -n)).reduce((sum, n) => sum + n);
  assert.equal(await hub.entityState(here), 100 - moved);
  assert.equal(await hub.entityState(there), 100 + moved);
});

test("trap_74_operations_queued_before_a_lock_request_run_first", async () => {
  const [journal, gate] = [hub.newEntity(Journal), hub.unique("gate")];
  await hub.signal(journal, "appendAt", { gate, entry: "first" });
  await gates.at(gate).reached();
  await hub.signal(journal, "append", "second");
  await hub.signal(journal, "append", "third");
  const id = await hub.start(writes, [journal, ["mine", "mine too"]]);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  gates.at(gate).open();
  await hub.says(id, "in");
  await hub.signal(journal, "append", "too late");
  await hub.backlog(journal, 1);
  await tell(id, "write");
  await hub.says(id, "written");
  assert.deepEqual(await hub.entityState(journal), ["first", "second", "third", "mine", "mine too"]);
  await tell(id, "leave");
  await hub.entitySettles(journal, ["first", "second", "third", "mine", "mine too", "too late"]);
});

test("trap_75_a_lock_waits_for_the_batch_that_is_out", async () => {
  const [counter, gate] = [hub.newEntity(Counter), hub.unique("gate")];
  assert.equal(await hub.run(calls, [counter, "add", 1]), 1);
  await hub.signal(counter, "addAt", { gate, amount: 1 });
  await gates.at(gate).reached();
  const id = await hub.start(holds, [counter]);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await assert.rejects(hub.client.waitForOrchestrationCompletion(id, true, 0.5), /timed out/i);
  assert.equal((await hub.state(id)).serializedCustomStatus, undefined);
  assert.equal((await hub.client.getEntity(counter)).lockedBy, undefined);
  gates.at(gate).open();
  await hub.says(id, "in");
  assert.equal(await hub.entityState(counter), 2);
  await tell(id, "leave");
  await hub.completed(id);
});

test("trap_76_overlapping_requests_are_granted_in_the_order_they_came", async () => {
  const journal = hub.newEntity(Journal);
  const id = await holder(journal);
  const names = ["a", "b", "c", "d"];
  const queued = [];
  for (const name of names) {
    queued.push(await hub.start(queues, [journal, name]));
    await hub.reaches(queued.at(-1), OrchestrationStatus.RUNNING);
  }
  await tell(id, "leave");
  await Promise.all(queued.map((each) => hub.completed(each)));
  const entries = await hub.entityState(journal);
  const order = (what) => entries.filter((entry) => entry.endsWith(what)).map((entry) => entry[0]);
  assert.deepEqual(order("in"), order("asked"));
  assert.deepEqual(order("in").sort(), names);
});

test("calls and signals of others wait for the end of the section", async () => {
  const counter = hub.newEntity(Counter);
  const id = await holder(counter);
  const caller = await hub.start(calls, [counter, "add", 1]);
  await hub.signal(counter, "add", 10);
  await hub.backlog(counter, 2);
  assert.equal((await hub.state(caller)).runtimeStatus, OrchestrationStatus.RUNNING);
  assert.equal(await hub.entityState(counter), undefined);
  await tell(id, "leave");
  await hub.completed(caller);
  await hub.entitySettles(counter, 11);
});

test("trap_78_the_same_entity_twice_in_a_lock_set_is_one_lock", async () => {
  assert.equal(await hub.run(visitsTwice, hub.newEntity(Counter)), 2);
});

for (const orchestrator of [throwsInside, throwsAndReleases]) {
  test(`trap_77_a_failure_inside_a_section_frees_the_entity_when_user_code_${orchestrator.name}`, async () => {
    const counter = hub.newEntity(Counter);
    await hub.signal(counter, "add", 1);
    const failure = await hub.failed(await hub.start(orchestrator, counter));
    assert.match(failure.message, /inside the section/);
    await hub.lockedBy(counter, undefined);
    await isFree(counter);
    assert.equal(await hub.entityState(counter), 1);
  });
}

test("trap_77_completing_inside_a_section_frees_the_entity", async () => {
  const counter = hub.newEntity(Counter);
  assert.equal(await hub.run(completesInside, counter), "never released");
  await isFree(counter);
});

test("trap_77_continuing_as_new_inside_a_section_frees_the_entity", async () => {
  const counter = hub.newEntity(Counter);
  const id = await hub.start(renewsInside, [counter, false]);
  await isFree(counter);
  await tell(id, "leave");
  assert.equal(await hub.completed(id), "outside");
});

test("trap_77_terminating_the_holder_frees_its_entities", async () => {
  const entities = [hub.newEntity(Counter), hub.newEntity(Journal)];
  const id = await holder(...entities);
  const next = await hub.start(holds, entities);
  await hub.client.terminateOrchestration(id, "enough");
  await hub.says(next, "in");
  for (const entity of entities) await hub.lockedBy(entity, next);
  await tell(next, "leave");
  await hub.completed(next);
  assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.TERMINATED);
});

test("trap_77_a_request_dies_with_its_orchestration", async () => {
  const counter = hub.newEntity(Counter);
  const id = await holder(counter);
  const dying = await hub.start(holds, [counter]);
  await hub.reaches(dying, OrchestrationStatus.RUNNING);
  const waiting = await hub.start(holds, [counter]);
  await hub.reaches(waiting, OrchestrationStatus.RUNNING);
  await hub.client.terminateOrchestration(dying);
  await hub.reaches(dying, OrchestrationStatus.TERMINATED);
  await tell(id, "leave");
  await hub.says(waiting, "in");
  await tell(waiting, "leave");
  await hub.completed(waiting);
  await isFree(counter);
});

test("trap_77_a_request_that_had_half_its_locks_gives_them_up", async () => {
  const [first, second] = [hub.newEntity(Counter), hub.newEntity(Journal)];
  const blocking = await holder(second);
  const dying = await hub.start(holds, [first, second]);
  await hub.lockedBy(first, dying);
  await hub.client.terminateOrchestration(dying);
  await hub.lockedBy(first, undefined);
  await isFree(first);
  await tell(blocking, "leave");
  await hub.completed(blocking);
  await isFree(first, second);
});

test("trap_77_replacing_the_holder_frees_the_entity_and_the_new_run_is_not_its_owner", async () => {
  const counter = hub.newEntity(Counter);
  const instanceid = await holder(counter);
  const next = await hub.start(holds, [counter]);
  await hub.reaches(next, OrchestrationStatus.RUNNING);
  await hub.call("startInstance", build(pb.CreateInstanceRequest, {
    instanceid, name: "calls", input: text(JSON.stringify([counter, "add", 1])),
    orchestrationidreusepolicy: build(pb.OrchestrationIdReusePolicy, {
      replaceablestatusList: [OrchestrationStatus.RUNNING, OrchestrationStatus.TERMINATED],
    }),
  }));
  await hub.says(next, "in");
  await hub.reaches(instanceid, OrchestrationStatus.RUNNING);
  await hub.backlog(counter, 1);
  await tell(next, "leave");
  assert.equal(await hub.completed(instanceid), 1);
});

test("a lock granted to a suspended orchestration waits with it", async () => {
  const counter = hub.newEntity(Counter);
  const [id, waiting] = [await holder(counter), await hub.start(holds, [counter])];
  await hub.reaches(waiting, OrchestrationStatus.RUNNING);
  await hub.client.suspendOrchestration(waiting);
  await hub.reaches(waiting, OrchestrationStatus.SUSPENDED);
  await tell(id, "leave");
  await hub.lockedBy(counter, waiting);
  assert.equal((await hub.state(waiting)).serializedCustomStatus, undefined);
  await hub.client.resumeOrchestration(waiting);
  await hub.says(waiting, "in");
  await tell(waiting, "leave");
  await hub.completed(waiting);
});

/** Starts orchestrations that a raw worker runs, and takes their first turns. */
async function rawTurns(count) {
  const name = hub.unique("raw");
  const worker = await hub.rawWorker({ orchestrations: [name] });
  for (let n = 0; n < count; n++) await hub.start(name);
  const turns = [];
  while (turns.length < count) turns.push(await worker.turn());
  return { worker, turns };
}

const instanceOf = (turn) => turn.request.getInstanceid();
const grantIn = (turn) => turn.request.getNeweventsList().find((event) => event.hasEntitylockgranted());

test("trap_78_a_lock_set_in_any_order_with_repetitions_is_granted_once", async () => {
  const [a, b] = [hub.newEntity(Counter), hub.newEntity(Journal)].map(String);
  assert.equal(await hub.transientEntity(a), undefined);
  const { worker, turns } = await rawTurns(2);
  const sections = new Map();
  const lockSets = [[b, a, b], [a, b.replace("journal", "Journal"), a]];
  for (const [n, turn] of turns.entries()) {
    const section = randomUUID();
    sections.set(instanceOf(turn), section);
    await worker.answerTurn(turn, actions.newSendEntityMessageLockAction(1, section, lockSets[n], instanceOf(turn)));
  }
  for (let granted = 0; granted < 2; granted++) {
    const turn = await worker.turn();
    const id = instanceOf(turn);
    assert.equal(grantIn(turn).getEntitylockgranted().getCriticalsectionid(), sections.get(id));
    for (const entity of [a, b]) await hub.lockedBy(entity, id);
    assert.equal(worker.unseen, 0, "the other one has no lock yet");
    await worker.complete(turn, 2);
    await hub.completed(id);
  }
  for (const entity of [a, b]) await hub.lockedBy(entity, undefined);
});

test("trap_78_releasing_again_takes_nothing_from_the_next_holder", async () => {
  const counter = `${hub.newEntity(Counter)}`;
  assert.equal(await hub.transientEntity(counter), undefined);
  const { worker, turns: [turn] } = await rawTurns(1);
  const [id, section] = [instanceOf(turn), randomUUID()];
  const unlock = (n, of) => actions.newSendEntityMessageUnlockAction(n, of, counter, id);
  await worker.answerTurn(turn, actions.newSendEntityMessageLockAction(1, section, [counter], id));
  await worker.answerTurn(await worker.turn(), unlock(2, section), unlock(3, section));
  const next = await holder(counter);
  await tell(id, "again");
  await worker.answerTurn(
    await worker.turn(), unlock(4, section), unlock(5, randomUUID()),
    actions.newSendEntityMessageSignalAction(6, counter, "add", randomUUID(), "1"));
  // The signal came behind the releases.
  await hub.backlog(counter, 1);
  await hub.lockedBy(counter, next);
  await tell(next, "leave");
  await hub.completed(next);
  await hub.entitySettles(EntityInstanceId.fromString(counter), 1);
  await hub.client.terminateOrchestration(id);
});

test("termination without a last turn is refused for the holder of a lock", async () => {
  const counter = hub.newEntity(Counter);
  const [holding, free] = [await holder(counter), await hub.start(hub.unique("nobody-runs-this"))];
  const answer = await hub.call(
    "skipGracefulOrchestrationTerminations", build(pb.SkipGracefulOrchestrationTerminationsRequest, {
      instancebatch: build(pb.InstanceBatch, { instanceidsList: [holding, free] }), reason: text("no time"),
    }));
  assert.deepEqual(answer.getUnterminatedinstanceidsList(), [holding]);
  assert.equal((await hub.state(free)).runtimeStatus, OrchestrationStatus.TERMINATED);
  assert.equal((await hub.state(free)).serializedOutput, "no time");
  await tell(holding, "leave");
  assert.equal(await hub.completed(holding), "left");
});
