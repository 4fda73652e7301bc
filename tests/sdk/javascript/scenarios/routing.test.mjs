// Filters and versions: which worker may have which work.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Counter } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { build, pb, sdk, text } from "../support/sdk.mjs";

const { EntityInstanceId, OrchestrationStatus, VersionFailureStrategy, VersionMatchStrategy, whenAll } = sdk;
const { PENDING, RUNNING } = OrchestrationStatus;

const echo = async (ctx, value) => [ctx.version, value];

const step = async (_, value) => `stepped over ${value}`;

const steps = async function* steps(ctx, options) {
  return yield ctx.callActivity(step, 1, options);
};

const everything = async function* everything(ctx, entity) {
  return yield whenAll([
    ctx.callActivity(step, 2), ctx.callSubOrchestrator(echo, 3),
    ctx.entities.callEntity(EntityInstanceId.fromString(entity), "add", 4),
  ]);
};

const hub = useHub();

const outputs = (ids) => Promise.all(ids.map((id) => hub.completed(id)));
const end = (ids) => Promise.all(ids.map((id) => hub.client.terminateOrchestration(id)));

/** Nobody has taken a turn of these. */
async function passedOver(ids) {
  for (const id of ids) assert.equal((await hub.state(id)).runtimeStatus, PENDING);
}

test("one worker may have everything it registered", async () => {
  const counter = hub.newEntity(Counter);
  await hub.worker({
    orchestrators: [everything, echo], activities: [step], entities: [Counter], workItemFilters: "auto",
  });
  assert.deepEqual(await hub.run(everything, counter), ["stepped over 2", ["", 3], 4]);
});

test("names of orchestrations in filters have a case", async () => {
  await hub.worker({ orchestrators: [echo], workItemFilters: { orchestrations: [{ name: "ECHO" }] } });
  const id = await hub.start(echo, 1);
  const shouted = await hub.start("ECHO", 2);
  // The worker gets it and finds that it has no such orchestrator.
  await hub.failed(shouted);
  await passedOver([id]);
  await hub.worker({ orchestrators: [echo], workItemFilters: "auto" });
  assert.deepEqual(await hub.completed(id), ["", 1]);
});

test("trap_51_a_filter_may_list_versions_in_one_entry_or_several", async () => {
  await hub.worker({
    orchestrators: [echo],
    workItemFilters: { orchestrations: [
      { name: "echo", versions: ["1.0"] }, { name: "echo", versions: ["2.0", "3.0"] },
    ] },
  });
  const others = [await hub.start(echo, 0, { version: "4.0" }), await hub.start(echo, 0)];
  const listed = [];
  for (const version of ["3.0", "2.0", "1.0"]) listed.push(await hub.start(echo, 0, { version }));
  assert.deepEqual((await outputs(listed)).map(([version]) => version), ["3.0", "2.0", "1.0"]);
  await passedOver(others);
  await hub.worker({
    orchestrators: [echo],
    workItemFilters: { orchestrations: [{ name: "echo", versions: ["none"] }, { name: "echo" }] },
  });
  assert.deepEqual((await outputs(others)).map(([version]) => version), ["4.0", ""]);
});

test("trap_50_a_category_without_entries_gets_nothing", async () => {
  await hub.worker({
    orchestrators: [steps], activities: [step], workItemFilters: { orchestrations: [{ name: "steps" }] },
  });
  const ids = [await hub.start(steps), await hub.start(steps)];
  for (const id of ids) await hub.reaches(id, RUNNING);
  assert.equal((await hub.history(ids[0])).length, 3, "the activity is scheduled and has no result");
  const worker = await hub.rawWorker({ activities: ["step"] });
  assert.equal((await worker.activity()).request.getName(), "step");
  worker.drop();
  await hub.worker({ activities: [step], workItemFilters: "auto" });
  assert.deepEqual(await outputs(ids), Array(2).fill("stepped over 1"));
});

test("an activity's own version decides, else its orchestration's", async () => {
  const activities = (...versions) => ({
    activities: [step], workItemFilters: { activities: [{ name: "step", versions }] },
  });
  await hub.worker({ orchestrators: [steps], workItemFilters: { orchestrations: [{ name: "steps" }] } });
  await hub.worker(activities("2.0"));
  const inherits = await hub.start(steps, {}, { version: "1.0" });
  const own = await hub.start(steps, { version: "2.0" }, { version: "1.0" });
  assert.equal(await hub.completed(own), "stepped over 1");
  assert.equal((await hub.reaches(inherits, RUNNING)).runtimeStatus, RUNNING);
  await hub.worker(activities("1.0"));
  assert.equal(await hub.completed(inherits), "stepped over 1");
});

test("trap_52_work_nobody_wants_does_not_hold_up_the_rest", async () => {
  await hub.worker({
    orchestrators: [steps], activities: [step], workItemFilters: {
      orchestrations: [{ name: "steps" }], activities: [{ name: "step", versions: ["1.0"] }],
    },
  });
  const unwanted = await Promise.all(Array.from({ length: 150 }, () => hub.start(steps, {}, { version: "9.0" })));
  for (const id of unwanted) await hub.reaches(id, RUNNING);
  const wanted = await Promise.all(Array.from({ length: 5 }, () => hub.start(steps, {}, { version: "1.0" })));
  assert.deepEqual(await outputs(wanted), Array(5).fill("stepped over 1"));
  await end(unwanted);
});

test("a worker of a version or older leaves newer instances to newer workers", async () => {
  const upTo = (version) => ({ orchestrators: [echo], versioning: {
    version, defaultVersion: version, matchStrategy: VersionMatchStrategy.CurrentOrOlder,
    failureStrategy: VersionFailureStrategy.Reject,
  } });
  await hub.worker(upTo("2.0"));
  const newer = await hub.start(echo, 0, { version: "2.1" });
  const fits = [
    await hub.start(echo, 1, { version: "1.9" }), await hub.start(echo, 2, { version: "2.0" }),
    await hub.start(echo, 3),
  ];
  assert.deepEqual(await outputs(fits), [["1.9", 1], ["2.0", 2], ["", 3]]);
  await passedOver([newer]);
  await hub.worker(upTo("3.0"));
  assert.deepEqual(await hub.completed(newer), ["2.1", 0]);
});

test("trap_45_the_next_generation_may_have_another_version", async () => {
  const name = hub.unique("raw");
  const old = await hub.rawWorker({ orchestrations: [{ name, versions: ["1.0"] }] });
  const id = await hub.start(name, 1, { version: "1.0" });
  const next = await hub.rawWorker({ orchestrations: [{ name, versions: ["2.0"] }] });
  await old.answerTurn(await old.turn(), build(pb.OrchestratorAction, {
    id: 1, completeorchestration: build(pb.CompleteOrchestrationAction, {
      orchestrationstatus: pb.OrchestrationStatus.ORCHESTRATION_STATUS_CONTINUED_AS_NEW,
      result: text("2"), newversion: text("2.0"),
    }),
  }));
  const turn = await next.turn();
  const started = turn.request.getNeweventsList().find((event) => event.hasExecutionstarted()).getExecutionstarted();
  assert.deepEqual([started.getVersion().getValue(), started.getInput().getValue()], ["2.0", "2"]);
  await next.complete(turn, 1, "done");
  assert.equal(await hub.completed(id), "done");
  assert.equal(old.unseen, 0);
});
