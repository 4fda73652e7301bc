// What can be asked about entities, and how they are cleaned up.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Counter, Journal } from "../support/entities.mjs";
import { useHub } from "../support/hub.mjs";
import { Int32Value, build, grpc, pb, sdk, text } from "../support/sdk.mjs";
import { sdkPages } from "../support/waiting.mjs";

const { EntityInstanceId, OrchestrationStatus, PurgeInstanceCriteria } = sdk;

const holds = async function* holds(ctx, entity) {
  const lock = yield ctx.entities.lockEntities(EntityInstanceId.fromString(entity));
  ctx.setCustomStatus("in");
  yield ctx.waitForExternalEvent("leave");
  lock.release();
};

const calls = async function* calls(ctx, [entity, operation, input]) {
  return yield ctx.entities.callEntity(EntityInstanceId.fromString(entity), operation, input);
};

const hub = useHub({ orchestrators: [holds, calls], entities: [Counter, Journal] });

/** Makes a counter exist, with 1 as its state. */
async function exists(key, name = "counter") {
  const id = new EntityInstanceId(name, key);
  await hub.run(calls, [id, name === "counter" ? "add" : "append", 1]);
  return `${id}`;
}

async function found(query) {
  const pages = await sdkPages(hub.client.getEntities(query));
  return pages.flatMap((each) => each.values.map((entity) => `${entity.id}`));
}

/** One page as it is on the wire: the ids, and the token if there is one. */
async function page(fields) {
  const answer = await hub.call("queryEntities", build(pb.QueryEntitiesRequest, {
    query: build(pb.EntityQuery, fields),
  }));
  return {
    entities: answer.getEntitiesList(),
    ids: answer.getEntitiesList().map((entity) => entity.getInstanceid()),
    token: answer.getContinuationtoken()?.getValue(),
  };
}

test("an entity nobody signalled is undefined, not an error", async () => {
  assert.equal(await hub.client.getEntity(hub.newEntity(Counter)), undefined);
});

test("an entity is shown with its state, its time and its backlog", async () => {
  const counter = hub.newEntity(Counter);
  const began = Date.now();
  await exists(counter.key);
  const first = await hub.client.getEntity(counter);
  assert.ok(first.id.equals(counter));
  assert.deepEqual([first.includesState, first.state, first.backlogQueueSize, first.lockedBy], [true, 1, 0, undefined]);
  assert.ok(first.lastModifiedTime.getTime() >= began && first.lastModifiedTime.getTime() <= Date.now());
  await hub.run(calls, [counter, "add", 1]);
  const second = await hub.client.getEntity(counter);
  assert.ok(second.lastModifiedTime > first.lastModifiedTime);
  const bare = await hub.client.getEntity(counter, false);
  assert.equal(bare.includesState, false);
  assert.ok(!(await hub.rawEntity(counter, false)).hasSerializedstate());
  assert.deepEqual(bare.lastModifiedTime, second.lastModifiedTime);
});

test("a query takes a name, the beginning of a name, or the beginning of a key", async () => {
  const mark = hub.unique("q");
  const [first, second] = [await exists(`${mark}-a1`), await exists(`${mark}-a2`)];
  const third = await exists(`${mark}-b`);
  const journal = await exists(`${mark}-a1`, "journal");
  const mine = (ids) => ids.filter((id) => id.includes(mark));
  assert.deepEqual(mine(await found({ instanceIdStartsWith: "counter@" })), [first, second, third]);
  assert.deepEqual(mine(await found({ instanceIdStartsWith: "Jour" })), [journal]);
  assert.deepEqual(await found({ instanceIdStartsWith: `Counter@${mark}-a` }), [first, second]);
  assert.deepEqual(await found({ instanceIdStartsWith: `@counter@${mark}-a1` }), [first]);
  assert.deepEqual(mine(await found()), [first, second, third, journal], "in the order of ids");
});

test("trap_82_a_query's_name_has_no_case_and_its_key_has", async () => {
  const id = await exists(hub.unique("Key"));
  const key = id.slice("@counter@".length);
  const asked = async (prefix) => (await page({ instanceidstartswith: text(prefix) })).ids;
  assert.deepEqual(await asked(`@COUNTER@${key}`), [id]);
  assert.deepEqual(await asked(`@counter@${key.toLowerCase()}`), []);
});

test("trap_68_a_prefix_of_entities_is_literal", async () => {
  const mark = hub.unique("odd");
  const ids = [];
  for (const odd of ["%", "_", "*", "a"]) ids.push(await exists(`${mark}${odd}tail`));
  for (const [n, odd] of ["%", "_", "*"].entries()) {
    assert.deepEqual(await found({ instanceIdStartsWith: `counter@${mark}${odd}` }), [ids[n]]);
  }
  assert.deepEqual(await found({ instanceIdStartsWith: "%" }), []);
});

test("trap_64_pages_of_entities_are_full_until_the_last", async () => {
  const mark = hub.unique("page");
  const ids = await Promise.all(Array.from({ length: 21 }, (_, n) => exists(`${mark}-${String(n).padStart(2, "0")}`)));
  const query = { instanceIdStartsWith: `counter@${mark}`, pageSize: 5 };
  const pages = await sdkPages(hub.client.getEntities(query));
  assert.deepEqual(pages.map((each) => each.values.length), [5, 5, 5, 5, 1]);
  assert.equal(pages.at(-1).continuationToken, undefined);
  assert.deepEqual(pages.flatMap((each) => each.values.map((entity) => `${entity.id}`)), ids);
  const rest = { ...query, pageSize: 11, continuationToken: pages[1].continuationToken };
  assert.deepEqual(await found(rest), ids.slice(10), "another page size goes on at the same place");
  const whole = await page({ instanceidstartswith: text(`@counter@${mark}`) });
  assert.deepEqual([whole.ids, whole.token], [ids, undefined]);
});

test("trap_65_empty_texts_mean_every_entity_and_the_first_page", async () => {
  const id = await exists(hub.unique("any"));
  const everything = await page({ instanceidstartswith: text(""), continuationtoken: text("") });
  assert.ok(everything.ids.includes(id));
});

test("a token that is none is refused", async () => {
  await hub.refused(page({ continuationtoken: text("not a token") }), grpc.status.INVALID_ARGUMENT);
});

test("pages neither repeat nor skip what stays, whatever comes and goes", async () => {
  const mark = hub.unique("churn");
  const ids = [];
  for (const key of ["b", "d", "f", "h"]) ids.push(await exists(`${mark}-${key}`));
  const query = { instanceidstartswith: text(`@counter@${mark}`) };
  const first = await page({ ...query, pagesize: build(Int32Value, { value: 2 }) });
  assert.deepEqual(first.ids, ids.slice(0, 2));
  await hub.run(calls, [ids[1], "delete"]);
  await hub.run(calls, [ids[2], "delete"]);
  const late = await exists(`${mark}-g`);
  await exists(`${mark}-a`);
  const second = await page({ ...query, continuationtoken: text(first.token) });
  assert.deepEqual(second.ids, [late, ids[3]]);
});

test("a query by time includes the beginning and not the end", async () => {
  const mark = hub.unique("time");
  const ids = [];
  for (const key of ["1", "2", "3"]) ids.push(await exists(`${mark}-${key}`));
  const times = (await page({ instanceidstartswith: text(`@counter@${mark}`) })).entities
    .map((entity) => entity.getLastmodifiedtime());
  const between = async (from, to) =>
    (await page({ instanceidstartswith: text(`@counter@${mark}`), lastmodifiedfrom: from, lastmodifiedto: to })).ids;
  assert.deepEqual(await between(times[1], undefined), ids.slice(1));
  assert.deepEqual(await between(undefined, times[1]), ids.slice(0, 1));
  assert.deepEqual(await between(times[0], times[2]), ids.slice(0, 2));
  assert.deepEqual(await between(times[1], times[1]), []);
});

test("a query shows states if asked", async () => {
  const id = await exists(hub.unique("state"));
  const [bare] = (await page({ instanceidstartswith: text(id) })).entities;
  assert.ok(!bare.hasSerializedstate());
  const [full] = (await page({ instanceidstartswith: text(id), includestate: true })).entities;
  assert.equal(full.getSerializedstate().getValue(), "1");
  assert.ok(full.hasLastmodifiedtime());
});

test("entities without state are shown only if asked", async () => {
  const [locked, nobodys] = [`${hub.newEntity(Counter)}`, `@${hub.unique("nobody-runs-this")}@key`];
  const holder = await hub.start(holds, locked);
  await hub.says(holder, "in");
  await hub.signal(EntityInstanceId.fromString(nobodys), "go");
  for (const id of [locked, nobodys]) {
    assert.deepEqual(await found({ instanceIdStartsWith: id }), []);
    assert.deepEqual(await found({ instanceIdStartsWith: id, includeTransient: true }), [id]);
  }
  assert.equal((await hub.transientEntity(locked)).getLockedby().getValue(), holder);
  assert.equal((await hub.transientEntity(nobodys)).getBacklogqueuesize(), 1);
  await hub.client.raiseOrchestrationEvent(holder, "leave");
  await hub.completed(holder);
});

test("trap_67_entities_and_instances_do_not_appear_among_each_other", async () => {
  const id = await exists(hub.unique("kind"));
  const pages = await sdkPages(hub.client.getAllInstances());
  const instances = pages.flatMap((each) => each.values.map((state) => state.instanceId));
  assert.ok(instances.length > 0 && instances.every((instance) => !instance.startsWith("@")));
  assert.ok((await found()).every((entity) => entity.startsWith("@")));
  assert.equal(await hub.state(id), undefined);
});

test("trap_85_cleaning_finds_nothing_left_to_do", async () => {
  const [kept, gone] = [await exists(hub.unique("kept")), await exists(hub.unique("gone"))];
  await hub.run(calls, [gone, "delete"]);
  const locked = hub.newEntity(Counter);
  const holder = await hub.start(holds, locked);
  await hub.says(holder, "in");
  await hub.client.terminateOrchestration(holder);
  await hub.reaches(holder, OrchestrationStatus.TERMINATED);
  await hub.lockedBy(locked, undefined);
  const cleaned = await hub.client.cleanEntityStorage();
  assert.deepEqual(cleaned, { continuationToken: undefined, emptyEntitiesRemoved: 0, orphanedLocksReleased: 0 });
  assert.equal(await hub.entityState(EntityInstanceId.fromString(kept)), 1);
});

test("cleaning leaves locks and backlogs of the living alone", async () => {
  const [locked, nobodys] = [hub.newEntity(Counter), `@${hub.unique("nobody-runs-this")}@key`];
  const holder = await hub.start(holds, locked);
  await hub.says(holder, "in");
  await hub.signal(EntityInstanceId.fromString(nobodys), "go");
  const cleaned = await hub.client.cleanEntityStorage();
  assert.deepEqual([cleaned.emptyEntitiesRemoved, cleaned.orphanedLocksReleased], [0, 0]);
  await hub.lockedBy(locked, holder);
  await hub.backlog(nobodys, 1);
  await hub.client.raiseOrchestrationEvent(holder, "leave");
  await hub.completed(holder);
});

test("an entity can be purged by its id, once", async () => {
  const id = await exists(hub.unique("purged"));
  assert.equal((await hub.client.purgeOrchestration(id)).deletedInstanceCount, 1);
  assert.equal(await hub.rawEntity(id), undefined);
  assert.equal((await hub.client.purgeOrchestration(id)).deletedInstanceCount, 0);
  await exists(id.slice("@counter@".length));
  assert.equal(await hub.entityState(EntityInstanceId.fromString(id)), 1, "it began anew");
});

test("purging an entity takes its backlog along", async () => {
  const id = `@${hub.unique("nobody-runs-this")}@key`;
  await hub.signal(EntityInstanceId.fromString(id), "go");
  await hub.backlog(id, 1);
  await hub.client.purgeOrchestration(id);
  assert.equal(await hub.transientEntity(id), undefined);
});

test("a purge by filter never touches entities", async () => {
  const id = await exists(hub.unique("spared"));
  const { deletedInstanceCount } = await hub.client.purgeOrchestration(new PurgeInstanceCriteria());
  assert.ok(deletedInstanceCount > 0);
  assert.equal(await hub.entityState(EntityInstanceId.fromString(id)), 1);
});
