"""What clients ask of entities: reading one, querying many, cleaning storage and purging."""

import json

import grpc
import pytest
from durabletask import task
from durabletask.client import EntityQuery
from durabletask.entities import EntityContext, EntityInstanceId
from support import raw
from support.hub import Hub, Program
from support.raw import pb
from support.waiting import eventually

program = Program()


@program.entity
def box(ctx: EntityContext, value):
    """Holds what it was given last; "empty" deletes it."""
    ctx.set_state(None if ctx.operation == "empty" else value)


@program.entity
def boxcar(ctx: EntityContext, value):
    """Has a name that begins like another one's."""
    ctx.set_state(value)


@program.orchestrator
def holds_the_lock(ctx: task.OrchestrationContext, key: str):
    with (yield ctx.lock_entities([EntityInstanceId("box", key)])):
        ctx.set_custom_status("inside")
        yield ctx.wait_for_external_event("leave")


def filled(hub: Hub, *keys: str, entity: str = "box") -> list[str]:
    """Entities that hold their keys; returns their ids, in order."""
    hub.calls("SignalEntity", [pb.SignalEntityRequest(
        instanceId=f"@{entity}@{key}", name="put", input=raw.text(json.dumps(key))) for key in keys])
    for key in keys:
        hub.holds(f"@{entity}@{key}", key)
    return [f"@{entity}@{key}" for key in sorted(keys)]


def ids(entities: list[pb.EntityMetadata]) -> list[str]:
    return [entity.instanceId for entity in entities]


# Reading one.

def test_an_entity_tells_its_state_only_if_asked(shared: Hub):
    (entity,) = filled(shared, shared.unique("key"))
    full, short = shared.entity(entity), shared.entity(entity, state=False)
    assert full.instanceId == short.instanceId == entity
    assert json.loads(full.serializedState.value) == entity.removeprefix("@box@")
    assert not short.HasField("serializedState")
    assert full.lastModifiedTime == short.lastModifiedTime
    assert full.backlogQueueSize == 0 and not full.HasField("lockedBy")


def test_an_entity_nobody_signalled_does_not_exist(shared: Hub):
    answer = shared.call("GetEntity", pb.GetEntityRequest(instanceId=f"@box@{shared.unique('missing')}"))
    assert not answer.exists and not answer.HasField("entity")
    assert shared.client.get_entity(EntityInstanceId("box", shared.unique("missing"))) is None


def test_every_batch_moves_the_time_of_modification(shared: Hub):
    (entity,) = filled(shared, shared.unique("key"))
    times = [shared.entity(entity).lastModifiedTime.ToNanoseconds()]
    for number in range(3):
        shared.signal(entity, "put", str(number))
        times.append(shared.holds(entity, number).lastModifiedTime.ToNanoseconds())
    assert times == sorted(set(times))


def test_the_backlog_counts_what_is_queued_and_not_what_is_out(hub: Hub):
    name = hub.unique("backlog")
    entity = f"@{name}@one"
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "make")
    worker.commit(worker.batch(entity), raw.success(), state="1")
    assert hub.entity(entity).backlogQueueSize == 0
    hub.signal(entity, "out")
    batch = worker.batch(entity)
    assert hub.entity(entity).backlogQueueSize == 0
    for waiting in range(1, 4):
        hub.signal(entity, "queued")
        assert hub.entity(entity).backlogQueueSize == waiting
    worker.commit(batch, raw.success(), state="2")
    assert len(worker.batch(entity).operations()) == 3 and hub.entity(entity).backlogQueueSize == 0


# Querying many.

def test_the_prefix_is_matched_to_the_letter(shared: Hub):
    unique = shared.unique("Prefix")
    keys = [f"{unique}-{tail}" for tail in ("a", "ab", "a%", "a_", "a*", "A", "b")]
    everything = filled(shared, *keys)
    (namesake,) = filled(shared, keys[0], entity="boxcar")
    for prefix, tails in (("", ("%", "*", "", "_", "b")), ("%", ("%",)), ("_", ("_",)), ("*", ("*",)), ("b", ("b",)),
                          ("x", ())):
        expected = [f"@box@{unique}-a{tail}" for tail in tails]
        assert ids(shared.entities(f"@box@{unique}-a{prefix}")) == sorted(expected)
    assert ids(shared.entities(f"@BOX@{unique}")) == everything, "names have no case"
    assert shared.entities(f"@box@{unique.lower()}") == [], "keys have"
    assert ids(shared.entities(f"@boxcar@{unique}")) == [namesake]
    named_like_that = ids(shared.entities("@box"))
    assert set(everything) < set(named_like_that) and namesake in named_like_that
    assert namesake not in ids(shared.entities("@box@"))


def test_a_query_tells_states_only_if_asked(shared: Hub):
    unique = shared.unique("query")
    filled(shared, *[f"{unique}-{n}" for n in range(3)])
    with_states = shared.entities(f"@box@{unique}", includeState=True)
    assert [json.loads(entity.serializedState.value) for entity in with_states] == [f"{unique}-{n}" for n in range(3)]
    without = shared.entities(f"@box@{unique}")
    assert len(without) == 3 and not any(entity.HasField("serializedState") for entity in without)
    assert [entity.lastModifiedTime for entity in without] == [entity.lastModifiedTime for entity in with_states]


def test_deleted_entities_are_not_listed(shared: Hub):
    unique = shared.unique("query")
    kept, emptied = filled(shared, f"{unique}-1", f"{unique}-2")
    shared.signal(emptied, "empty")
    shared.is_gone(emptied)
    for transient in (False, True):
        assert ids(shared.entities(f"@box@{unique}", includeTransient=transient)) == [kept]


def test_what_has_no_state_is_listed_as_transient_while_work_waits_for_it(hub: Hub):
    name = hub.unique("transient")
    entity = f"@{name}@one"
    hub.signal(entity, "first")
    hub.signal(entity, "second")
    assert hub.entity(entity) is None
    assert hub.entities(f"@{name}@") == []
    (waiting,) = hub.entities(f"@{name}@", includeTransient=True, includeState=True)
    assert waiting.instanceId == entity and waiting.backlogQueueSize == 2
    assert not waiting.HasField("serializedState") and not waiting.HasField("lockedBy")
    worker = hub.raw_worker(entities=[name])
    worker.commit(worker.batch(entity), raw.success(), raw.success())
    assert hub.entities(f"@{name}@", includeTransient=True) == []


def test_the_window_of_modification_is_half_open(shared: Hub):
    unique = shared.unique("window")
    entities = [filled(shared, f"{unique}-{n}")[0] for n in range(4)]
    times = [shared.entity(entity).lastModifiedTime for entity in entities]
    prefix = f"@box@{unique}"
    assert ids(shared.entities(prefix, lastModifiedFrom=times[1])) == entities[1:]
    assert ids(shared.entities(prefix, lastModifiedTo=times[1])) == entities[:1]
    assert ids(shared.entities(prefix, lastModifiedFrom=times[1], lastModifiedTo=times[3])) == entities[1:3]
    assert shared.entities(prefix, lastModifiedFrom=times[2], lastModifiedTo=times[2]) == []
    shared.signal(entities[0], "put", '"again"')
    shared.holds(entities[0], "again")
    assert ids(shared.entities(prefix, lastModifiedFrom=times[3])) == [entities[0], entities[3]]


@pytest.mark.parametrize(("count", "sizes", "pages"), [
    (21, [5], [5, 5, 5, 5, 1]), (20, [5], [5, 5, 5, 5]), (12, [5, 3, 100], [5, 3, 4]), (3, [3], [3]), (3, [4], [3])],
    ids=["rest", "exact", "changing", "all", "more"])
def test_pages_are_full_and_end_without_a_token(shared: Hub, count: int, sizes: list[int], pages: list[int]):
    unique = shared.unique("pages")
    # Ids in an order that is neither that of their making nor that of their numbers.
    everything = filled(shared, *[f"{unique}-{n * 11 % count}" for n in range(count)])
    listed = shared.pages("QueryEntities", sizes, instanceIdStartsWith=raw.text(f"@box@{unique}"))
    assert [len(page) for page in listed] == pages
    assert ids(sum(listed, [])) == everything


def test_a_page_has_100_entities_unless_asked_otherwise(own_hub: Hub):
    own_hub.worker(entities=program.entities, filters="auto")
    filled(own_hub, *[f"{n:03}" for n in range(103)])
    listed = own_hub.pages("QueryEntities")
    assert [len(page) for page in listed] == [100, 3]
    assert ids(sum(listed, [])) == [f"@box@{n:03}" for n in range(103)]
    query = EntityQuery(instance_id_starts_with="@box@", page_size=40)
    entities = own_hub.client.get_all_entities(query)
    assert [entity.get_typed_state() for entity in entities] == [f"{n:03}" for n in range(103)]


def test_pages_follow_the_ids_through_changes_in_between(shared: Hub):
    unique = shared.unique("moving")
    everything = filled(shared, *[f"{unique}-{n}" for n in range(6)])
    prefix = raw.text(f"@box@{unique}")
    first, token = shared.page("QueryEntities", 2, instanceIdStartsWith=prefix)
    assert ids(first) == everything[:2]
    for emptied in (everything[0], everything[3]):
        shared.signal(emptied, "empty")
        shared.is_gone(emptied)
    shared.signal(everything[2], "put", '"modified"')
    shared.holds(everything[2], "modified")
    (added,) = filled(shared, f"{unique}-7")
    rest: list[pb.EntityMetadata] = []
    while token is not None:
        page, token = shared.page("QueryEntities", 2, token, instanceIdStartsWith=prefix)
        rest += page
    assert ids(rest) == [everything[2], everything[4], everything[5], added]


def test_trap_65_an_empty_token_is_the_first_page(shared: Hub):
    unique = shared.unique("empty")
    everything = filled(shared, *[f"{unique}-{n}" for n in range(2)])
    page, token = shared.page("QueryEntities", 5, "", instanceIdStartsWith=raw.text(f"@box@{unique}"))
    assert ids(page) == everything and token is None


@pytest.mark.parametrize("token", ["garbage", "0", "%00", "[]", "x" * 5000],
                         ids=["word", "zero", "escape", "json", "long"])
def test_a_malformed_token_is_refused(shared: Hub, token: str):
    assert shared.refused("QueryEntities", pb.QueryEntitiesRequest(query=pb.EntityQuery(
        continuationToken=raw.text(token))), grpc.StatusCode.INVALID_ARGUMENT)


def test_a_token_of_another_hub_or_call_is_refused(own_hub: Hub, shared: Hub):
    unique = shared.unique("foreign")
    filled(shared, *[f"{unique}-{n}" for n in range(3)])
    _, token = shared.page("QueryEntities", 1, instanceIdStartsWith=raw.text(f"@box@{unique}"))
    own_hub.refused("QueryEntities", pb.QueryEntitiesRequest(query=pb.EntityQuery(
        continuationToken=raw.text(token))), grpc.StatusCode.INVALID_ARGUMENT)
    shared.refused("QueryInstances", pb.QueryInstancesRequest(query=pb.InstanceQuery(
        continuationToken=raw.text(token))), grpc.StatusCode.INVALID_ARGUMENT)


# Cleaning storage.

def test_trap_85_there_is_nothing_to_clean(shared: Hub):
    key = shared.unique("clean")
    (entity,) = filled(shared, key)
    owner = shared.client.schedule_new_orchestration(holds_the_lock, input=key)
    eventually(lambda: shared.state(owner).customStatus.value == '"inside"', what="the owner inside")
    (emptied,) = filled(shared, shared.unique("clean"))
    shared.signal(emptied, "empty")
    shared.is_gone(emptied)
    result = shared.client.clean_entity_storage()
    assert (result.empty_entities_removed, result.orphaned_locks_released) == (0, 0)
    for what in ({"removeEmptyEntities": True}, {"releaseOrphanedLocks": True}, {}):
        answer = shared.call("CleanEntityStorage", pb.CleanEntityStorageRequest(**what))
        assert (answer.emptyEntitiesRemoved, answer.orphanedLocksReleased) == (0, 0)
        assert not answer.HasField("continuationToken")
    assert shared.entity(entity).lockedBy.value == owner, "a lock with a living owner is nobody's orphan"
    shared.client.raise_orchestration_event(owner, "leave")
    shared.completed(owner)


# Purging.

def test_an_entity_may_be_purged(shared: Hub):
    (entity,) = filled(shared, shared.unique("purged"))
    answer = shared.purge(entity)
    assert answer.deletedInstanceCount == 1 and answer.isComplete.value
    assert shared.entity(entity) is None
    assert shared.purge(entity).deletedInstanceCount == 0
    shared.signal(entity, "put", '"again"')
    shared.holds(entity, "again")


def test_purging_an_entity_takes_queue_and_batch_along(hub: Hub):
    name = hub.unique("purged")
    entity = f"@{name}@One"
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "out")
    batch = worker.batch(entity)
    hub.signal(entity, "queued")
    assert hub.purge(f"@{name.upper()}@One").deletedInstanceCount == 1, "names have no case"
    assert hub.entities(entity, includeTransient=True) == []
    worker.commit(batch, raw.success(), state='"ghost"')
    assert hub.entity(entity) is None
    hub.signal(entity, "new")
    fresh = worker.batch(entity)
    assert fresh.operations() == [("new", "")] and fresh.state is None
    worker.commit(fresh, raw.success(), state='"fresh"')
    hub.holds(entity, "fresh")


def test_purging_an_entity_takes_its_lock_along(shared: Hub):
    key = shared.unique("purged")
    (entity,) = filled(shared, key)
    owner = shared.client.schedule_new_orchestration(holds_the_lock, input=key)
    eventually(lambda: shared.state(owner).customStatus.value == '"inside"', what="the owner inside")
    assert shared.purge(entity).deletedInstanceCount == 1
    shared.signal(entity, "put", '"unlocked"')
    assert not shared.holds(entity, "unlocked").HasField("lockedBy")
    # The owner leaves a lock that is not its own any more.
    shared.client.raise_orchestration_event(owner, "leave")
    shared.completed(owner)
    shared.signal(entity, "put", '"still served"')
    shared.holds(entity, "still served")
