// Starting, suspending, terminating, waiting.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { grpc, sdk } from "../support/sdk.mjs";

const { OrchestrationStatus, terminateOptions } = sdk;
const hub = useHub();

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};

test("a start without a start time is not reported as scheduled", async () => {
  // The SDK always sends a start time: the epoch stands for none.
  const id = await hub.start(waits);
  const state = await hub.rawState(id);
  assert.ok(!state.hasScheduledstarttimestamp());
  assert.equal(state.getOrchestrationstatus(), OrchestrationStatus.PENDING);
  await hub.client.terminateOrchestration(id);
});

test("a scheduled start waits for its time", async () => {
  const when = async (ctx) => ctx.currentUtcDateTime.getTime();
  await hub.worker({ orchestrators: [when] });
  const startAt = new Date(Date.now() + 1500);
  const id = await hub.start(when, undefined, { startAt });
  assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.PENDING);
  assert.ok(await hub.completed(id) >= startAt.getTime());
  assert.equal((await hub.rawState(id)).getScheduledstarttimestamp().toDate().getTime(), startAt.getTime());
});

test("a live id is refused, a finished one is used again", async () => {
  await hub.worker({ orchestrators: [waits] });
  const instanceId = hub.unique("again");
  for (const value of ["first", "second"]) {
    await hub.start(waits, undefined, { instanceId });
    await hub.refused(hub.start(waits, undefined, { instanceId }), grpc.status.ALREADY_EXISTS);
    await hub.client.raiseOrchestrationEvent(instanceId, "go", value);
    assert.equal(await hub.completed(instanceId), value);
  }
});

test("an id that is too long or an entity's is refused", async () => {
  const long = await hub.refused(
    hub.start(waits, undefined, { instanceId: "x".repeat(101) }), grpc.status.INVALID_ARGUMENT);
  assert.match(long.details, /length/i);
  await hub.refused(hub.start(waits, undefined, { instanceId: "@counter@1" }), grpc.status.INVALID_ARGUMENT);
});

test("a missing instance is undefined, not an error", async () => {
  assert.equal(await hub.state(hub.unique("missing")), undefined);
});

test("state without payloads hides them", async () => {
  const failing = async () => {
    throw new Error("hidden");
  };
  await hub.worker({ orchestrators: [failing] });
  const id = await hub.start(failing, "hidden");
  await hub.ended(id);
  const state = await hub.client.getOrchestrationState(id, false);
  assert.equal(state.runtimeStatus, OrchestrationStatus.FAILED);
  assert.ok(!state.serializedInput && !state.serializedOutput && !state.failureDetails);
});

test("waiting ends with the caller's patience", async () => {
  await hub.worker({ orchestrators: [waits] });
  const id = await hub.start(waits);
  await hub.client.waitForOrchestrationStart(id, false, 30);
  await assert.rejects(hub.client.waitForOrchestrationCompletion(id, true, 0.5), /timed out/i);
  await hub.client.raiseOrchestrationEvent(id, "go", "late");
  assert.equal(await hub.completed(id), "late");
});

test("forty waiters are all told", async () => {
  const id = await hub.start(waits);
  const waiters = Array.from({ length: 40 }, () => hub.ended(id));
  await hub.worker({ orchestrators: [waits] });
  await hub.client.raiseOrchestrationEvent(id, "go", "all");
  const states = await Promise.all(waiters);
  assert.ok(states.every((state) => state.serializedOutput === '"all"'));
});

test("events wait while suspended", async () => {
  await hub.worker({ orchestrators: [waits] });
  const id = await hub.start(waits);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.suspendOrchestration(id);
  await hub.client.suspendOrchestration(id);
  await hub.reaches(id, OrchestrationStatus.SUSPENDED);
  await hub.client.raiseOrchestrationEvent(id, "go", "held");
  await assert.rejects(hub.client.waitForOrchestrationCompletion(id, true, 0.7), /timed out/i);
  assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.SUSPENDED);
  await hub.client.resumeOrchestration(id);
  assert.equal(await hub.completed(id), "held");
  await hub.client.suspendOrchestration(id);
  await hub.client.resumeOrchestration(id);
  assert.equal((await hub.state(id)).runtimeStatus, OrchestrationStatus.COMPLETED);
});

test("a suspended orchestration can be terminated", async () => {
  await hub.worker({ orchestrators: [waits] });
  const id = await hub.start(waits);
  await hub.reaches(id, OrchestrationStatus.RUNNING);
  await hub.client.suspendOrchestration(id);
  await hub.reaches(id, OrchestrationStatus.SUSPENDED);
  await hub.client.terminateOrchestration(id, { why: "enough" });
  const state = await hub.ended(id);
  assert.equal(state.runtimeStatus, OrchestrationStatus.TERMINATED);
  assert.deepEqual(JSON.parse(state.serializedOutput), { why: "enough" });
});

test("an instance nobody runs can be terminated", async () => {
  const id = await hub.start(hub.unique("nobody-runs-this"));
  await hub.client.terminateOrchestration(id, "unwanted");
  const state = await hub.ended(id);
  assert.equal(state.runtimeStatus, OrchestrationStatus.TERMINATED);
  assert.equal(state.serializedOutput, '"unwanted"');
});

for (const recursive of [true, false]) {
  test(`termination ${recursive ? "reaches" : "spares"} children as asked`, async () => {
    const child = async function* child(ctx) {
      return yield ctx.waitForExternalEvent("go");
    };
    const parent = async function* parent(ctx, instanceId) {
      return yield ctx.callSubOrchestrator(child, undefined, { instanceId });
    };
    await hub.worker({ orchestrators: [parent, child] });
    const childId = hub.unique("child");
    const id = await hub.start(parent, childId);
    await hub.reaches(childId, OrchestrationStatus.RUNNING);
    await hub.client.terminateOrchestration(id, terminateOptions({ output: "stop", recursive }));
    await hub.reaches(id, OrchestrationStatus.TERMINATED);
    if (recursive) {
      await hub.reaches(childId, OrchestrationStatus.TERMINATED);
    } else {
      await hub.client.raiseOrchestrationEvent(childId, "go", "alive");
      assert.equal(await hub.completed(childId), "alive");
    }
  });
}

for (const rpc of ["terminateOrchestration", "suspendOrchestration", "resumeOrchestration"]) {
  test(`${rpc} of a missing instance is refused`, async () => {
    await hub.refused(hub.client[rpc](hub.unique("missing")), grpc.status.NOT_FOUND);
  });
}
