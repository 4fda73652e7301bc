// Finding instances: queries, lists of ids, and exports of what has ended.

import assert from "node:assert/strict";
import { test } from "node:test";

import { useHub } from "../support/hub.mjs";
import { Timestamp, build, grpc, pb, sdk, text } from "../support/sdk.mjs";
import { pagesOf, sdkPages } from "../support/waiting.mjs";

const { OrchestrationStatus } = sdk;
const { COMPLETED, FAILED, PENDING, RUNNING, SUSPENDED, TERMINATED } = OrchestrationStatus;

const echo = async (ctx, input) => {
  ctx.setCustomStatus({ saw: input });
  return input;
};

const fails = async () => {
  throw new Error("as it should");
};

const waits = async function* waits(ctx) {
  return yield ctx.waitForExternalEvent("go");
};

const parent = async function* parent(ctx, instanceId) {
  return yield ctx.callSubOrchestrator(echo, 1, { instanceId });
};

const step = async (_, n) => n;

const stepping = async function* stepping(ctx, n) {
  for (let i = 0; i < n; i++) yield ctx.callActivity(step, i);
  return n;
};

const hub = useHub({ orchestrators: [echo, fails, waits, parent, stepping], activities: [step] });

const named = (mark, n) => ({ instanceId: `${mark}-${String(n).padStart(3, "0")}` });
const idsOf = (states) => states.map((state) => state.instanceId);

/** Starts so many that nobody runs, one after the other, and returns their ids. */
async function started(mark, count) {
  const ids = [];
  while (ids.length < count) ids.push(await hub.start("nobody-runs-this", ids.length, named(mark, ids.length)));
  return ids;
}

async function found(filter) {
  return (await sdkPages(hub.client.getAllInstances(filter))).flatMap((each) => each.values);
}

/** One page as it is on the wire: the states, their ids, and the token if there is one. */
async function page(fields) {
  const query = build(pb.InstanceQuery, fields);
  const answer = await hub.call("queryInstances", build(pb.QueryInstancesRequest, { query }));
  const states = answer.getOrchestrationstateList();
  return {
    states, ids: states.map((state) => state.getInstanceid()), token: answer.getContinuationtoken()?.getValue(),
  };
}

async function listed(fields) {
  const answer = await hub.call("listInstanceIds", build(pb.ListInstanceIdsRequest, fields));
  return { ids: answer.getInstanceidsList(), key: answer.getLastinstancekey()?.getValue() };
}

/** Terminates these and waits until they have ended, so that nothing of them shows in a later window of time. */
async function terminated(...ids) {
  for (const id of ids) await hub.client.terminateOrchestration(id);
  await Promise.all(ids.map((id) => hub.ended(id)));
}

/** Runs so many to their end, one after the other; returns their ids and when they ended. */
async function ended(mark, count) {
  const ids = [];
  const times = [];
  while (ids.length < count) {
    ids.push(await hub.start(echo, ids.length, named(mark, ids.length)));
    await hub.completed(ids.at(-1));
    times.push((await hub.rawState(ids.at(-1))).getCompletedtimestamp());
  }
  return { ids, times };
}

test("trap_64_pages_are_full_until_the_last_which_has_no_token", async () => {
  const mark = hub.unique("page");
  const ids = await started(mark, 21);
  const query = { instanceIdPrefix: mark, pageSize: 5 };
  const pages = await sdkPages(hub.client.getAllInstances(query));
  assert.deepEqual(pages.map((each) => each.values.length), [5, 5, 5, 5, 1]);
  assert.equal(pages.at(-1).continuationToken, undefined);
  assert.deepEqual(pages.flatMap((each) => idsOf(each.values)), ids, "in the order of creation");
  const rest = await found({ ...query, pageSize: 7, continuationToken: pages[0].continuationToken });
  assert.deepEqual(idsOf(rest), ids.slice(5), "another page size goes on at the same place");
  const exact = await page({ instanceidprefix: text(mark), maxinstancecount: 21 });
  assert.deepEqual([exact.ids.length, exact.token], [21, undefined], "a full last page has no token either");
});

test("no page size means a hundred", async () => {
  const mark = hub.unique("many");
  await Promise.all(Array.from({ length: 103 }, (_, n) => hub.start("nobody-runs-this", n, named(mark, n))));
  for (const maxinstancecount of [0, -1]) {
    const first = await page({ instanceidprefix: text(mark), maxinstancecount });
    const second = await page({ instanceidprefix: text(mark), maxinstancecount, continuationtoken: text(first.token) });
    assert.deepEqual([first.ids.length, second.ids.length, second.token], [100, 3, undefined]);
    assert.equal(new Set([...first.ids, ...second.ids]).size, 103);
  }
});

test("trap_65_an_empty_token_is_the_first_page_and_nonsense_is_refused", async () => {
  const mark = hub.unique("token");
  const ids = await started(mark, 2);
  assert.deepEqual((await page({ instanceidprefix: text(mark), continuationtoken: text("") })).ids, ids);
  await hub.refused(page({ continuationtoken: text("not a token") }), grpc.status.INVALID_ARGUMENT);
});

test("pages neither repeat nor skip what stays, whatever comes and goes", async () => {
  const mark = hub.unique("churn");
  const ids = await started(mark, 6);
  const query = { instanceidprefix: text(mark) };
  const first = await page({ ...query, maxinstancecount: 3 });
  for (const gone of [ids[0], ids[2], ids[3]]) {
    await hub.client.terminateOrchestration(gone);
    assert.equal((await hub.client.purgeOrchestration(gone)).deletedInstanceCount, 1);
  }
  const late = await hub.start("nobody-runs-this", undefined, named(mark, 0));
  const rest = await page({ ...query, continuationtoken: text(first.token) });
  assert.deepEqual(rest.ids, [ids[4], ids[5], late]);
});

test("every status can be asked for, alone and together", async () => {
  const mark = hub.unique("status");
  const of = (name) => ({ instanceId: `${mark}-${name}` });
  const completed = await hub.start(echo, 1, of("completed"));
  const failed = await hub.start(fails, 1, of("failed"));
  const pending = await hub.start("nobody-runs-this", 1, of("pending"));
  const running = await hub.start(waits, 1, of("running"));
  const suspended = await hub.start(waits, 1, of("suspended"));
  const stopped = await hub.start("nobody-runs-this", 1, of("terminated"));
  await hub.completed(completed);
  await hub.failed(failed);
  await hub.reaches(running, RUNNING);
  await hub.reaches(suspended, RUNNING);
  await hub.client.suspendOrchestration(suspended);
  await hub.reaches(suspended, SUSPENDED);
  await terminated(stopped);
  const ask = async (...statuses) => idsOf(await found({ instanceIdPrefix: mark, statuses })).sort();
  for (const [status, id] of [
    [COMPLETED, completed], [FAILED, failed], [PENDING, pending], [RUNNING, running], [SUSPENDED, suspended],
    [TERMINATED, stopped],
  ]) {
    assert.deepEqual(await ask(status), [id], OrchestrationStatus[status]);
  }
  assert.deepEqual(await ask(RUNNING, FAILED), [failed, running]);
  assert.deepEqual(await ask(), [completed, failed, pending, running, suspended, stopped]);
  await terminated(pending, running, suspended);
});

test("a query by creation includes the beginning and not the end", async () => {
  const mark = hub.unique("created");
  const ids = await started(mark, 3);
  const times = (await page({ instanceidprefix: text(mark) })).states.map((state) => state.getCreatedtimestamp());
  const between = async (createdtimefrom, createdtimeto) =>
    (await page({ instanceidprefix: text(mark), createdtimefrom, createdtimeto })).ids;
  assert.deepEqual(await between(times[1], undefined), ids.slice(1));
  assert.deepEqual(await between(undefined, times[1]), ids.slice(0, 1));
  assert.deepEqual(await between(times[0], times[2]), ids.slice(0, 2));
  assert.deepEqual(await between(times[1], times[1]), []);
  const [day, now] = [24 * 3600 * 1000, Date.now()];
  const recent = { instanceIdPrefix: mark, createdFrom: new Date(now - day), createdTo: new Date(now + day) };
  assert.deepEqual(idsOf(await found(recent)), ids);
});

test("trap_68_a_prefix_is_literal_and_has_a_case", async () => {
  const mark = hub.unique("Odd");
  const ids = {};
  for (const odd of ["%", "_", "*", "a"]) {
    ids[odd] = await hub.start("nobody-runs-this", 1, { instanceId: `${mark}${odd}tail` });
  }
  for (const odd of ["%", "_", "*"]) {
    assert.deepEqual(idsOf(await found({ instanceIdPrefix: `${mark}${odd}` })), [ids[odd]]);
  }
  assert.equal((await found({ instanceIdPrefix: mark })).length, 4);
  assert.deepEqual(await found({ instanceIdPrefix: mark.toLowerCase() }), []);
});

test("a query names task hubs in any case, and finds nothing in another", async () => {
  const mark = hub.unique("hub");
  const [id] = await started(mark, 1);
  const ask = async (...taskHubNames) => idsOf(await found({ instanceIdPrefix: mark, taskHubNames }));
  assert.deepEqual(await ask("other", "DEFAULT"), [id]);
  assert.deepEqual(await ask("other"), []);
});

test("trap_06_a_query_hides_payloads_and_failures_unless_asked", async () => {
  const mark = hub.unique("payload");
  const id = await hub.start(echo, "in and out", { instanceId: `${mark}-a`, tags: { colour: "blue" } });
  await hub.completed(id);
  const failing = await hub.start(fails, "in", { instanceId: `${mark}-b` });
  await hub.failed(failing);
  const [bare, bareFailure] = (await page({ instanceidprefix: text(mark) })).states;
  assert.ok(!bare.hasInput() && !bare.hasOutput());
  assert.ok(!bareFailure.hasInput() && !bareFailure.hasFailuredetails());
  const [state, failure] = await found({ instanceIdPrefix: mark, fetchInputsAndOutputs: true });
  assert.deepEqual(
    [state.name, state.serializedInput, state.serializedOutput, state.serializedCustomStatus, state.tags],
    ["echo", '"in and out"', '"in and out"', '{"saw":"in and out"}', { colour: "blue" }]);
  assert.match(failure.failureDetails.message, /as it should/);
  const known = await hub.rawState(id);
  assert.deepEqual(bare.getCreatedtimestamp().toObject(), known.getCreatedtimestamp().toObject());
  assert.deepEqual(bare.getLastupdatedtimestamp().toObject(), known.getLastupdatedtimestamp().toObject());
});

test("sub-orchestrations are found like any other", async () => {
  const child = hub.unique("child");
  await hub.run(parent, child);
  assert.deepEqual(idsOf(await found({ instanceIdPrefix: child })), [child]);
});

test("trap_66_ids_are_listed_by_completion_of_ended_instances_only", async () => {
  const from = new Date();
  const [running, pending] = [await hub.start(waits), await hub.start("nobody-runs-this")];
  await hub.reaches(running, RUNNING);
  const { ids, times } = await ended(hub.unique("listed"), 4);
  const list = async (options) => (await hub.client.listInstanceIds({ completedTimeFrom: from, ...options })).values;
  assert.deepEqual(await list({}), ids, "in the order of completion");
  assert.deepEqual(await list({ runtimeStatus: [COMPLETED, RUNNING] }), ids);
  assert.deepEqual(await list({ runtimeStatus: [RUNNING, PENDING] }), []);
  await terminated(pending);
  assert.deepEqual(await list({ runtimeStatus: [TERMINATED] }), [pending]);
  const between = async (completedtimefrom, completedtimeto) =>
    (await listed({ completedtimefrom, completedtimeto })).ids;
  assert.deepEqual(await between(times[0], times[3]), ids.slice(0, 3), "the end is not included");
  assert.deepEqual(await between(times[1], times[2]), [ids[1]]);
  assert.deepEqual(await between(times[1], times[1]), []);
  await terminated(running);
});

test("trap_65_ids_are_listed_page_by_page_from_an_empty_key_on", async () => {
  const from = new Date();
  const { ids } = await ended(hub.unique("keys"), 7);
  const pages = await pagesOf((lastInstanceKey) =>
    hub.client.listInstanceIds({ completedTimeFrom: from, pageSize: 3, lastInstanceKey }), "");
  assert.deepEqual(pages.map((each) => each.values), [ids.slice(0, 3), ids.slice(3, 6), ids.slice(6)]);
  const whole = await listed({ completedtimefrom: Timestamp.fromDate(from), lastinstancekey: text("") });
  assert.deepEqual([whole.ids, whole.key], [ids, undefined]);
});

test("what has ended in a window can be exported, every history whole", async () => {
  const from = new Date();
  const steps = [0, 1, 5, 12];
  for (const n of steps) await hub.completed(await hub.start(stepping, n, named(hub.unique("export"), n)));
  const failing = await hub.start(fails);
  await hub.failed(failing);
  const to = new Date(Date.now() + 1);
  const running = await hub.start(waits);
  const pages = await pagesOf((lastInstanceKey) => hub.client.listInstanceIds({
    completedTimeFrom: from, completedTimeTo: to, pageSize: 2, lastInstanceKey,
  }));
  const ids = pages.flatMap((each) => each.values);
  assert.equal(ids.length, steps.length + 1);
  const exported = new Map();
  for (const id of ids) exported.set(id, await hub.history(id));
  assert.equal(exported.size, ids.length, "each id is listed once");
  for (const [id, history] of exported) {
    const [first, second] = history;
    assert.deepEqual([first.type, second.type], ["OrchestratorStarted", "ExecutionStarted"]);
    assert.equal(second.orchestrationInstance.instanceId, id);
    const last = history.at(-1);
    assert.equal(last.type, "ExecutionCompleted");
    if (id === failing) {
      assert.equal(last.orchestrationStatus, "ORCHESTRATION_STATUS_FAILED");
    } else {
      const n = Number(second.input);
      assert.equal(last.result, second.input);
      assert.equal(history.length, 3 + 3 * n);
    }
  }
  await terminated(running);
});
