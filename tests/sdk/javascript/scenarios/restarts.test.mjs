// The server is killed and started again: programs need not be.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { sdk } from "../support/sdk.mjs";
import { Gate, eventually } from "../support/waiting.mjs";

const { OrchestrationStatus } = sdk;
const hub = useHub();

/** Kills the server and starts it again; returns once the client is connected to it. */
async function strike() {
  await hub.server.kill();
  await hub.server.start();
  await eventually(() => hub.state("anything").then(() => true, () => false), "the client's reconnection");
}

test("a worker comes back to a server that was killed and started again", async () => {
  const tenfold = async (_, number) => number * 10;
  const journey = async function* journey(ctx, number) {
    ctx.setCustomStatus("under way");
    const first = yield ctx.callActivity(tenfold, number);
    yield ctx.createTimer(1);
    return [first, yield ctx.waitForExternalEvent("go")];
  };
  await hub.worker({ orchestrators: [journey], activities: [tenfold], workItemFilters: "auto" });
  const ids = await Promise.all(Array.from({ length: 10 }, (_, number) => hub.start(journey, number)));
  for (const id of ids) await hub.says(id, "under way");
  const unserved = await hub.start("nobodyRunsThis", "kept");
  await strike();
  for (const id of ids) await hub.client.raiseOrchestrationEvent(id, "go", id);
  for (const [number, id] of ids.entries()) assert.deepEqual(await hub.completed(id), [number * 10, id]);
  const waiting = await hub.state(unserved);
  assert.deepEqual([waiting.runtimeStatus, waiting.serializedInput], [OrchestrationStatus.PENDING, '"kept"']);
});

test("an activity that was under way is run again", async () => {
  const gate = new Gate();
  const slow = async () => {
    await gate.pass();
    return gate.arrivals;
  };
  const caller = async function* caller(ctx) {
    return yield ctx.callActivity(slow);
  };
  await hub.worker({ orchestrators: [caller], activities: [slow] });
  const id = await hub.start(caller);
  await gate.reached();
  await strike();
  await gate.reached(2);
  gate.open();
  assert.equal(await hub.completed(id), 2);
});
