"""Which worker gets entity work: filters, limits, and what workers leave to others."""

import pytest
from durabletask import task
from durabletask.entities import EntityContext, EntityInstanceId
from durabletask.worker import EntityWorkItemFilter, OrchestrationWorkItemFilter, WorkItemFilters
from support import raw
from support.hub import Hub
from support.waiting import eventually


def bell(ctx: EntityContext, _):
    ctx.set_state(ctx.get_state(int, 0) + 1)
    return ctx.get_state(int)


def horn(ctx: EntityContext, _):
    ctx.set_state("honked")


def rings(ctx: task.OrchestrationContext, key: str):
    return (yield ctx.call_entity(EntityInstanceId("bell", key), "ring"))


def entity(name: str, hub: Hub) -> EntityInstanceId:
    return EntityInstanceId(name, hub.unique("key"))


def test_trap_50_a_filter_without_entities_gets_none(own_hub: Hub):
    name = own_hub.unique("deaf")
    worker = own_hub.raw_worker(orchestrations=[name], activities=[name])
    own_hub.signal(f"@{name}@one", "ring")
    own_hub.start(name, instance_id="probe")
    worker.answer(worker.turn("probe"), raw.call_entity(1, f"@{name}@two", "ring"), raw.create_timer(2, 0))
    turn = worker.turn("probe")
    assert turn.new() == ["orchestratorStarted", "timerFired"]
    assert worker.outstanding_batches() == 0 and worker.unexpected == []
    listening = own_hub.raw_worker(entities=[name])
    for key in ("one", "two"):
        assert listening.batch(f"@{name}@{key}").operations() == [("ring", "")]


def test_workers_ask_for_the_entities_they_host(own_hub: Hub):
    own_hub.worker(orchestrators=[rings], entities=[bell], filters="auto")
    silent, ringing = entity("horn", own_hub), entity("bell", own_hub)
    own_hub.client.signal_entity(silent, "honk")
    own_hub.client.signal_entity(ringing, "ring")
    own_hub.holds(ringing, 1)
    assert own_hub.run(rings, ringing.key) == 2
    assert own_hub.entity(silent) is None
    (waiting,) = own_hub.entities(str(silent), includeTransient=True)
    assert waiting.backlogQueueSize == 1
    own_hub.worker(entities=[horn], filters="auto")
    own_hub.holds(silent, "honked")


def test_explicit_filters_name_entities(own_hub: Hub):
    filters = WorkItemFilters(orchestrations=[OrchestrationWorkItemFilter("rings")], activities=[],
                              entities=[EntityWorkItemFilter("Bell")])
    own_hub.worker(orchestrators=[rings], entities=[bell, horn], filters=filters)
    silent = entity("horn", own_hub)
    own_hub.client.signal_entity(silent, "honk")
    assert [own_hub.run(rings, "key") for _ in range(3)] == [1, 2, 3]
    assert own_hub.entity(silent) is None


def test_a_worker_without_filters_gets_every_entity(own_hub: Hub):
    own_hub.worker(orchestrators=[rings], entities=[bell, horn])
    honked = entity("horn", own_hub)
    own_hub.client.signal_entity(honked, "honk")
    own_hub.holds(honked, "honked")
    assert own_hub.run(rings, "key") == 1


def test_trap_82_names_in_filters_have_no_case(own_hub: Hub):
    worker = own_hub.raw_worker(entities=["MixedCase"])
    for key, spelled in enumerate(("mixedcase", "MixedCase", "MIXEDCASE")):
        own_hub.signal(f"@{spelled}@{key}", "ring")
        batch = worker.batch(f"@mixedcase@{key}")
        worker.commit(batch, raw.success(), state="1")
        own_hub.holds(f"@mixedCASE@{key}", 1)


def test_trap_52_what_nobody_wants_blocks_nobody(own_hub: Hub):
    own_hub.worker(orchestrators=[rings], entities=[bell], filters="auto")
    unwanted = [entity("horn", own_hub) for _ in range(120)]
    for one in unwanted:
        own_hub.signal(one, "honk")
    wanted = [entity("bell", own_hub) for _ in range(10)]
    for one in wanted:
        own_hub.signal(one, "ring")
    for one in wanted:
        own_hub.holds(one, 1)
    assert own_hub.run(rings, wanted[0].key) == 2
    assert own_hub.entities("@horn@") == []
    (page,) = own_hub.pages("QueryEntities", [500], instanceIdStartsWith=raw.text("@horn@"), includeTransient=True)
    assert len(page) == 120 and {found.backlogQueueSize for found in page} == {1}


def test_a_locked_entity_nobody_serves_blocks_nobody(own_hub: Hub):
    name = own_hub.unique("scene")
    worker = own_hub.raw_worker(orchestrations=[name], entities=["served"])
    own_hub.start(name, instance_id="owner")
    worker.answer(worker.turn("owner"), raw.lock_entities(1, raw.guid(), "@unserved@one", "@served@one"))
    granted = worker.turn("owner")
    assert granted.new() == ["orchestratorStarted", "entityLockGranted"]
    worker.answer(granted, raw.call_entity(2, "@unserved@one", "wait"), raw.call_entity(3, "@served@one", "ring"))
    worker.commit(worker.batch("@served@one"), raw.success("1"), state="1")
    turn = worker.turn("owner")
    assert turn.answers() == [("completed", "1")]
    own_hub.signal("@served@two", "ring")
    assert worker.batch("@served@two").operations() == [("ring", "")]


def test_filters_are_those_of_the_latest_stream(own_hub: Hub):
    worker_id = (*own_hub.metadata, ("workerid", own_hub.unique("worker")))
    first = own_hub.raw_worker(entities=["bell"], metadata=worker_id)
    own_hub.signal("@bell@one", "ring")
    first.batch("@bell@one")
    first.close()
    second = own_hub.raw_worker(entities=["horn"], metadata=worker_id)
    own_hub.signal("@horn@one", "honk")
    second.commit(second.batch("@horn@one"), raw.success(), state="1")
    assert second.outstanding_batches() == 0
    third = own_hub.raw_worker(entities=["bell"])
    assert third.batch("@bell@one").operations() == [("ring", "")]


@pytest.mark.parametrize("limit", [1, 3])
def test_a_worker_holds_no_more_batches_than_it_asked_for(hub: Hub, limit: int):
    name = hub.unique("limited")
    worker = hub.raw_worker(entities=[name], maxConcurrentEntityWorkItems=limit)
    ids = [f"@{name}@{number}" for number in range(8)]
    for one in ids:
        hub.signal(one, "ring")
    served: list[str] = []
    while len(served) < 8:
        out = min(limit, 8 - len(served))
        eventually(lambda: worker.outstanding_batches() == out, what=f"{out} batches")
        waiting = hub.entities(f"@{name}@", includeTransient=True)
        assert sum(entity.backlogQueueSize for entity in waiting) == 8 - len(served) - out, "the rest is still queued"
        for batch in worker.batches():
            served.append(batch.request.instanceId)
            worker.commit(batch, raw.success(), state="1")
    assert sorted(served) == ids


def test_trap_49_zero_means_the_servers_default(hub: Hub):
    name = hub.unique("zero")
    worker = hub.raw_worker(entities=[name], maxConcurrentEntityWorkItems=0)
    for number in range(10):
        hub.signal(f"@{name}@{number}", "ring")
    eventually(lambda: worker.outstanding_batches() == 10, what="ten batches at once")


def test_trap_62_entity_work_has_the_newer_form(hub: Hub):
    name = hub.unique("form")
    worker = hub.raw_worker(filtered=True, entities=[name], maxConcurrentEntityWorkItems=5)
    hub.signal(f"@{name}@one", "ring")
    batch = worker.batch(f"@{name}@one")
    assert batch.token and worker.unexpected == []
    worker.commit(batch, raw.success(), state="1")
    hub.holds(f"@{name}@one", 1)


def test_trap_61_orchestrations_are_told_that_entities_are_served(hub: Hub):
    name = hub.unique("told")
    worker = hub.raw_worker(orchestrations=[name])
    turn = worker.turn(hub.start(name))
    assert turn.request.entityParameters.HasField("entityMessageReorderWindow")
    assert turn.request.entityParameters.entityMessageReorderWindow.ToNanoseconds() == 0
    worker.answer(turn, raw.complete(1))


def test_workers_with_room_share_the_entities(hub: Hub):
    name = hub.unique("shared")
    workers = [hub.raw_worker(entities=[name]) for _ in range(2)]
    for worker in workers:
        worker.wait_for_ping()
    for number in range(40):
        hub.signal(f"@{name}@{number}", "ring")
    eventually(lambda: sum(worker.outstanding_batches() for worker in workers) == 40, what="all handed out")
    assert all(worker.outstanding_batches() > 0 for worker in workers)
    for worker in workers:
        for batch in worker.batches():
            worker.commit(batch, raw.success(), state="1")
    listed = hub.pages("QueryEntities", [100], instanceIdStartsWith=raw.text(f"@{name}@"))
    assert [len(page) for page in listed] == [40]
