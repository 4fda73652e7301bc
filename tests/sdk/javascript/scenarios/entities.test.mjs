// What entities do: signals, calls, state, time, and what they start.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Counter, Journal, Register, gates } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { build, grpc, pb, sdk, text } from "../support/sdk.mjs";
import { eventually } from "../support/waiting.mjs";

const { EntityInstanceId, OrchestrationStatus, whenAll } = sdk;

/** Passes signals on, and starts orchestrations. */
class Relay extends sdk.TaskEntity {
  forward({ to, operation, input, at }) {
    const options = at === undefined ? undefined : { signalTime: new Date(at) };
    this.context.signalEntity(EntityInstanceId.fromString(to), operation, input, options);
  }

  countdown(left) {
    this.state.seen = [...(this.state.seen ?? []), left];
    if (left > 0) this.context.signalEntity(this.context.id, "countdown", left - 1);
  }

  forwardAndFail(message) {
    this.forward(message);
    throw new Error("after all");
  }

  begin({ name, input, instanceId, at }) {
    const options = { instanceId, startAt: at === undefined ? undefined : new Date(at) };
    this.state.started = this.context.scheduleNewOrchestration(name, input, options);
  }
}

/** Notes when it was told something. */
class Witness extends sdk.TaskEntity {
  initializeState() {
    return [];
  }

  note(label) {
    this.state.push([label, Date.now()]);
  }
}

const calls = async function* calls(ctx, [entity, operation, input]) {
  return yield ctx.entities.callEntity(EntityInstanceId.fromString(entity), operation, input);
};

const signals = async function* signals(ctx, [entity, operation, input, at]) {
  const options = at === undefined ? undefined : { signalTime: new Date(at) };
  ctx.entities.signalEntity(EntityInstanceId.fromString(entity), operation, input, options);
};

const asksOnceMore = async function* asksOnceMore(ctx, entity) {
  const id = EntityInstanceId.fromString(entity);
  ctx.entities.signalEntity(id, "add", 5);
  ctx.entities.signalEntity(id, "add", 6);
  return yield ctx.entities.callEntity(id, "get");
};

const catches = async function* catches(ctx, entity) {
  try {
    yield ctx.entities.callEntity(EntityInstanceId.fromString(entity), "spoil", "not today");
  } catch (error) {
    return [error.name, error.failureDetails.errorType, error.failureDetails.errorMessage, error.entityId];
  }
};

const spreads = async function* spreads(ctx, entities) {
  return yield whenAll(entities.map((entity, n) =>
    ctx.entities.callEntity(EntityInstanceId.fromString(entity), "add", n)));
};

const renews = async function* renews(ctx, [entity, left]) {
  ctx.entities.signalEntity(EntityInstanceId.fromString(entity), "append", left);
  if (left > 0) ctx.continueAsNew([entity, left - 1], true);
};

const abandonsACall = async function* abandonsACall(ctx, [entity, gate]) {
  const id = EntityInstanceId.fromString(entity);
  if (gate !== null) {
    ctx.entities.callEntity(id, "addAt", { gate, amount: 100 });
    yield ctx.waitForExternalEvent("next");
    ctx.continueAsNew([entity, null], false);
    return;
  }
  return yield ctx.entities.callEntity(id, "add", 1);
};

const tells = async (ctx, input) => [ctx.instanceId, ctx.parent ?? null, input];

const hub = useHub({
  orchestrators: [calls, signals, asksOnceMore, catches, spreads, renews, abandonsACall, tells],
  entities: [Counter, Journal, Register, Relay, Witness],
});

const range = (count) => Array.from({ length: count }, (_, n) => n);

test("trap_87_rapid_signals_are_applied_in_order_each_once", async () => {
  const journal = hub.newEntity(Journal);
  for (const n of range(20)) await hub.signal(journal, "append", n);
  await hub.entitySettles(journal, range(20));
});

test("concurrent clients lose nothing and keep their order", async () => {
  const journal = hub.newEntity(Journal);
  const clients = range(4).map(() => hub.newClient());
  await Promise.all(clients.map(async (client, who) => {
    for (const n of range(25)) await client.signalEntity(journal, "append", [who, n]);
    await client.stop();
  }));
  // A call queues behind all of them.
  const entries = await hub.run(calls, [journal, "entries"]);
  assert.equal(entries.length, 100);
  for (const who of range(4)) {
    assert.deepEqual(entries.filter(([from]) => from === who).map(([, n]) => n), range(25));
  }
});

test("a call returns what the operation returns", async () => {
  const counter = hub.newEntity(Counter);
  assert.equal(await hub.run(calls, [counter, "add", 4]), 4);
  assert.equal(await hub.run(calls, [counter, "ADD", 3]), 7);
  assert.equal(await hub.entityState(counter), 7);
});

for (const [name, value] of Object.entries({
  zero: 0, false: false, empty_text: "", empty_list: [], empty_object: {}, odd_text: "☃ \u0000 \" \\ \n",
  nested_null: { deep: [null, { x: 1.5 }] },
})) {
  test(`trap_05_${name}_survives_as_an_entity's_state_input_and_result`, async () => {
    const register = hub.newEntity(Register);
    await hub.run(calls, [register, "set", value]);
    assert.equal((await hub.rawEntity(register)).getSerializedstate().getValue(), JSON.stringify(value));
    assert.deepEqual(await hub.run(calls, [register, "echo", value]), value);
    assert.deepEqual(await hub.entityState(register), value, "the second batch began with it");
  });
}

test("an orchestration's call comes after its signals", async () => {
  assert.equal(await hub.run(asksOnceMore, hub.newEntity(Counter)), 11);
});

test("many calls at once are answered each with its own result", async () => {
  const entities = range(30).map(() => hub.newEntity(Counter));
  assert.deepEqual(await hub.run(spreads, entities), range(30));
  const one = hub.newEntity(Counter);
  const sums = range(30).map((n) => (n * (n + 1)) / 2);
  assert.deepEqual(await hub.run(spreads, Array(30).fill(one)), sums, "to one entity they go in order");
});

test("a failing operation reaches the caller with its details", async () => {
  const counter = hub.newEntity(Counter);
  const caught = await hub.run(catches, counter);
  assert.deepEqual(caught, ["EntityOperationFailedException", "RangeError", "not today", `${counter}`]);
});

test("a failure nobody catches fails the orchestration", async () => {
  const failure = await hub.failed(await hub.start(calls, [hub.newEntity(Counter), "spoil", "not today"]));
  assert.match(failure.message, /not today/);
  const unknown = await hub.failed(await hub.start(calls, [hub.newEntity(Counter), "dance"]));
  assert.match(unknown.message, /dance/);
});

test("trap_88_a_failed_operation_leaves_the_state_as_it_was", async () => {
  const counter = hub.newEntity(Counter);
  await hub.signal(counter, "add", 2);
  await hub.signal(counter, "spoil", "a signal nobody hears of");
  await hub.signal(counter, "add", 3);
  await hub.entitySettles(counter, 5);
  await hub.run(catches, counter);
  assert.equal(await hub.entityState(counter), 5);
});

test("what a failed operation wanted to send is not sent", async () => {
  const [relay, journal] = [hub.newEntity(Relay), hub.newEntity(Journal)];
  const message = (entry) => ({ to: journal, operation: "append", input: entry });
  await hub.signal(relay, "forwardAndFail", message("no"));
  await hub.signal(relay, "forward", message("yes"));
  await hub.entitySettles(journal, ["yes"]);
});

test("an entity signals others and itself", async () => {
  const [relay, counter] = [hub.newEntity(Relay), hub.newEntity(Counter)];
  await hub.signal(relay, "forward", { to: relay, operation: "forward", input: {
    to: counter, operation: "add", input: 8,
  } });
  await hub.entitySettles(counter, 8);
  await hub.signal(relay, "countdown", 5);
  await hub.entitySettles(relay, { seen: [5, 4, 3, 2, 1, 0] });
});

for (const [sender, send] of Object.entries({
  a_client: (witness, at) => hub.signal(witness, "note", "timed", { signalTime: new Date(at) }),
  an_orchestration: (witness, at) => hub.run(signals, [witness, "note", "timed", at]),
  an_entity: (witness, at) =>
    hub.signal(hub.newEntity(Relay), "forward", { to: witness, operation: "note", input: "timed", at }),
})) {
  test(`trap_84_a_signal_comes_at_its_time_but_not_before_from_${sender}`, async () => {
    const witness = hub.newEntity(Witness);
    const at = Date.now() + 1200;
    await send(witness, at);
    await hub.signal(witness, "note", "at once");
    const notes = await eventually(async () => {
      const state = await hub.entityState(witness);
      return state?.length === 2 && Object.fromEntries(state);
    }, "both signals");
    assert.ok(notes.timed >= at, `${at - notes.timed} ms too early`);
    assert.ok("at once" in notes);
  });
}

test("a signal for a time that has passed comes at once", async () => {
  const counter = hub.newEntity(Counter);
  await hub.signal(counter, "add", 1, { signalTime: new Date(Date.now() - 60_000) });
  await hub.entitySettles(counter, 1);
});

test("trap_86_a_client_waits_for_what_an_entity_is_about_to_start", async () => {
  const instanceId = hub.unique("started");
  const relay = hub.newEntity(Relay);
  const [output] = await Promise.all([
    hub.completed(instanceId),
    hub.signal(relay, "begin", { name: "tells", input: { a: [0] }, instanceId }),
  ]);
  assert.deepEqual(output, [instanceId, null, { a: [0] }], "it has no parent");
  await hub.entitySettles(relay, { started: instanceId });
});

test("an entity may start an orchestration for later", async () => {
  const instanceId = hub.unique("later");
  const at = Date.now() + 1200;
  await hub.signal(hub.newEntity(Relay), "begin", { name: "tells", instanceId, at });
  await hub.completed(instanceId);
  const state = await hub.rawState(instanceId);
  assert.ok(state.getCompletedtimestamp().toDate().getTime() >= at);
  assert.equal(state.getScheduledstarttimestamp().toDate().getTime(), at);
});

test("an entity's start replaces what has ended and spares what lives", async () => {
  const [ended, live] = [hub.unique("ended"), hub.unique("live")];
  await hub.run(tells, "before", { instanceId: ended });
  await hub.start(hub.unique("nobody-runs-this"), undefined, { instanceId: live });
  const execution = await hub.executionId(live);
  const relay = hub.newEntity(Relay);
  await hub.signal(relay, "begin", { name: "tells", input: "after", instanceId: live });
  await hub.signal(relay, "begin", { name: "tells", input: "after", instanceId: ended });
  await hub.entitySettles(relay, { started: ended });
  await eventually(async () => (await hub.state(ended)).serializedInput === '"after"', "the replacement");
  assert.deepEqual(await hub.completed(ended), [ended, null, "after"]);
  assert.equal(await hub.executionId(live), execution);
  await hub.client.terminateOrchestration(live);
});

test("trap_87_a_deleted_entity_is_gone_and_can_come_back", async () => {
  const counter = hub.newEntity(Counter);
  for (const generation of [1, 2]) {
    await hub.run(calls, [counter, "add", generation]);
    assert.equal(await hub.entityState(counter), generation, "nothing is left of an earlier life");
    await hub.run(calls, [counter, "delete"]);
    assert.equal(await hub.client.getEntity(counter), undefined);
  }
});

test("deleting and coming back within one run of signals", async () => {
  const journal = hub.newEntity(Journal);
  for (const entry of ["a", "b"]) {
    await hub.signal(journal, "append", `${entry}1`);
    await hub.signal(journal, "delete");
    await hub.signal(journal, "append", `${entry}2`);
  }
  assert.deepEqual(await hub.run(calls, [journal, "entries"]), ["b2"]);
});

test("trap_82_names_of_entities_have_no_case_and_keys_have", async () => {
  const key = hub.unique("Key");
  const signal = (instanceid) => hub.call("signalEntity", build(pb.SignalEntityRequest, {
    instanceid, name: "add", input: text("1"), requestid: randomUUID(),
  }));
  await signal(`@COUNTER@${key}`);
  await signal(`@Counter@${key}`);
  await signal(`@counter@${key}`);
  await signal(`@counter@${key.toLowerCase()}`);
  await hub.entitySettles(new EntityInstanceId("counter", key), 3);
  await hub.entitySettles(new EntityInstanceId("counter", key.toLowerCase()), 1);
  const shouted = await hub.rawEntity(`@COUNTER@${key}`);
  assert.equal(shouted.getInstanceid(), `@counter@${key}`);
  assert.equal(shouted.getSerializedstate().getValue(), "3");
});

test("keys may hold anything, and each type of entity has its own", async () => {
  for (const odd of ["a@b@c", "with space", "ünï ☃", "50%_*.\\/?#", "@", "{\"a\":1}"]) {
    const key = `${odd}${hub.unique("")}`;
    const [counter, journal] = [new EntityInstanceId("Counter", key), new EntityInstanceId("Journal", key)];
    await hub.run(calls, [counter, "add", 1]);
    await hub.run(calls, [journal, "append", odd]);
    assert.equal(await hub.entityState(counter), 1);
    assert.deepEqual(await hub.entityState(journal), [odd]);
    assert.equal((await hub.client.getEntity(journal)).id.key, key);
  }
});

test("trap_83_an_id_of_more_than_100_characters_is_refused", async () => {
  const name = "@counter@";
  const start = hub.unique("k");
  const fits = new EntityInstanceId("counter", start.padEnd(100 - name.length, "k"));
  await hub.signal(fits, "add", 1);
  await hub.entitySettles(fits, 1);
  const over = new EntityInstanceId("counter", start.padEnd(101 - name.length, "k"));
  const refused = await hub.refused(hub.signal(over, "add", 1), grpc.status.INVALID_ARGUMENT);
  assert.match(refused.details, /length/i);
});

for (const id of ["", "counter", "@counter", "@", "@@key"]) {
  test(`the id '${id}' is no entity's`, async () => {
    const signal = build(pb.SignalEntityRequest, { instanceid: id, name: "add", requestid: randomUUID() });
    await hub.refused(hub.call("signalEntity", signal), grpc.status.INVALID_ARGUMENT);
    await hub.refused(hub.rawEntity(id), grpc.status.INVALID_ARGUMENT);
  });
}

test("a signal sent twice by the transport is applied once", async () => {
  const counter = hub.newEntity(Counter);
  const signal = (requestid) => hub.call("signalEntity", build(pb.SignalEntityRequest, {
    instanceid: `${counter}`, name: "add", input: text("1"), requestid,
  }));
  const requestId = randomUUID();
  await signal(requestId);
  await signal(requestId);
  await hub.entitySettles(counter, 1);
  await signal(requestId);
  await signal(randomUUID());
  assert.equal(await hub.run(calls, [counter, "get"]), 2);
});

test("trap_44_signals_sent_with_continue_as_new_arrive_in_order", async () => {
  const journal = hub.newEntity(Journal);
  await hub.run(renews, [journal, 5]);
  assert.deepEqual(await hub.run(calls, [journal, "entries"]), [5, 4, 3, 2, 1, 0]);
});

test("trap_42_a_new_generation_never_sees_the_old_ones_answer", async () => {
  const [counter, gate] = [hub.newEntity(Counter), hub.unique("gate")];
  const id = await hub.start(abandonsACall, [counter, gate]);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await gates.at(gate).reached();
  const before = await hub.executionId(id);
  await hub.client.raiseOrchestrationEvent(id, "next");
  await eventually(async () => await hub.executionId(id) !== before, "the next generation");
  gates.at(gate).open();
  assert.equal(await hub.completed(id), 101);
  const answers = (await hub.history(id)).filter((event) => event.type === "EntityOperationCompleted");
  assert.equal(answers.length, 1);
});

test("trap_42_a_new_instance_under_an_old_id_never_sees_the_old_ones_answer", async () => {
  const [counter, gate, instanceId] = [hub.newEntity(Counter), hub.unique("gate"), hub.unique("again")];
  await hub.start(calls, [counter, "addAt", { gate, amount: 100 }], { instanceId });
  await hub.reaches(instanceId, OrchestrationStatus.RUNNING);
  await gates.at(gate).reached();
  await hub.client.terminateOrchestration(instanceId);
  await hub.reaches(instanceId, OrchestrationStatus.TERMINATED);
  await hub.start(calls, [counter, "add", 1], { instanceId });
  await hub.reaches(instanceId, OrchestrationStatus.RUNNING);
  gates.at(gate).open();
  assert.equal(await hub.completed(instanceId), 101, "the call of the one that died was carried out too");
});

test("an answer waits while its caller is suspended", async () => {
  const [counter, gate] = [hub.newEntity(Counter), hub.unique("gate")];
  const id = await hub.start(calls, [counter, "addAt", { gate, amount: 1 }]);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await gates.at(gate).reached();
  await hub.client.suspendOrchestration(id);
  await hub.reaches(id, OrchestrationStatus.SUSPENDED);
  gates.at(gate).open();
  await hub.entitySettles(counter, 1);
  assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.SUSPENDED);
  await hub.client.resumeOrchestration(id);
  assert.equal(await hub.completed(id), 1);
});
