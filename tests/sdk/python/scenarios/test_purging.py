"""PurgeInstances: by id, by filter, in batches, with descendants; what goes at once, and what stays."""

import time
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from durabletask.client import OrchestrationStatus
from google.protobuf import duration_pb2
from support import raw
from support.hub import Hub
from support.raw import pb

ALL_STATUSES = [raw.PENDING, raw.RUNNING, raw.SUSPENDED, raw.COMPLETED, raw.FAILED, raw.TERMINATED]


def ended(hub: Hub, worker: raw.RawWorker, name: str, status: int = raw.COMPLETED, **options: str) -> str:
    """An instance that ended like this."""
    instance_id = hub.start(name, **options)
    worker.answer(worker.turn(instance_id), raw.complete(1, '"output"', status))
    return instance_id


def living(hub: Hub, worker: raw.RawWorker, name: str, status: int, **options: str) -> str:
    """An instance that is in this status and stays there."""
    instance_id = hub.start(name if status != raw.PENDING else hub.unique("nobody-runs-this"), **options)
    if status != raw.PENDING:
        worker.answer(worker.turn(instance_id))
    if status == raw.SUSPENDED:
        hub.suspend(instance_id)
        worker.answer(worker.turn(instance_id))
    assert hub.status(instance_id) == status
    return instance_id


def family(hub: Hub, worker: raw.RawWorker, name: str, child_id: str, *, parent_ends: bool = True) -> str:
    """A parent whose child of this id has completed; returns the parent's id."""
    parent_id = hub.start(name)
    worker.answer(worker.turn(parent_id), raw.create_child(1, name, child_id))
    worker.answer(worker.turn(child_id), raw.complete(1))
    worker.answer(worker.turn(parent_id), *([raw.complete(2)] if parent_ends else []))
    return parent_id


def is_there(hub: Hub, instance_id: str) -> bool:
    """Whether anything of the instance can be read; all calls have to agree."""
    exists = hub.state(instance_id) is not None
    assert (instance_id in hub.query(instanceIdPrefix=raw.text(instance_id))) == exists
    try:
        hub.history(instance_id)
        assert exists
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and not exists
    return exists


# By id.

@pytest.mark.parametrize("status", [raw.COMPLETED, raw.FAILED, raw.TERMINATED],
                         ids=["completed", "failed", "terminated"])
def test_trap_20_what_was_purged_is_gone_at_once(hub: Hub, status: int):
    name = hub.unique("purged")
    worker = hub.raw_worker(orchestrations=[name])
    purged, kept = ended(hub, worker, name, status), ended(hub, worker, name, status)
    result = hub.client.purge_orchestration(purged)
    assert (result.deleted_instance_count, result.is_complete) == (1, True)
    assert not is_there(hub, purged) and is_there(hub, kept)
    assert purged not in sum(hub.pages("ListInstanceIds"), [])
    again = hub.client.purge_orchestration(purged)
    assert (again.deleted_instance_count, again.is_complete) == (0, True)


@pytest.mark.parametrize("flag", [False, True], ids=["any", "orchestration"])
def test_purging_what_is_missing_counts_nothing(hub: Hub, flag: bool):
    answer = hub.purge(hub.unique("missing"), isOrchestration=flag)
    assert answer.deletedInstanceCount == 0 and answer.isComplete.value


@pytest.mark.parametrize("status", [raw.PENDING, raw.RUNNING, raw.SUSPENDED], ids=["pending", "running", "suspended"])
def test_trap_21_a_living_instance_is_not_purged(hub: Hub, status: int):
    name = hub.unique("living")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = living(hub, worker, name, status)
    answer = hub.purge(instance_id)
    assert answer.deletedInstanceCount == 0 and answer.isComplete.value
    assert hub.refused("PurgeInstances", pb.PurgeInstancesRequest(instanceId=instance_id, isOrchestration=True),
                       grpc.StatusCode.FAILED_PRECONDITION)
    assert is_there(hub, instance_id) and hub.status(instance_id) == status
    hub.terminate(instance_id)


def test_a_purged_id_is_free_even_for_those_who_forbid_reuse(hub: Hub):
    name = hub.unique("reused")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = ended(hub, worker, name, input="old")
    hub.refused("StartInstance", pb.CreateInstanceRequest(
        instanceId=instance_id, name=name, orchestrationIdReusePolicy=pb.OrchestrationIdReusePolicy()),
        grpc.StatusCode.ALREADY_EXISTS)
    hub.purge(instance_id)
    hub.start(name, instance_id=instance_id, policy=[], input="new")
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "executionStarted"] and turn.past() == []
    assert turn.started().input.value == "new"
    worker.answer(turn, raw.complete(1))


def test_trap_23_a_purged_instance_leaves_no_ghosts(hub: Hub):
    name = hub.unique("haunted")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "ghost"),
                  raw.create_timer(2, time.time() + 0.5))
    hub.raise_event(instance_id, "end")
    worker.answer(worker.turn(instance_id), raw.complete(3))
    hub.raise_event(instance_id, "ghost")
    assert hub.purge(instance_id).deletedInstanceCount == 1
    hub.start(name, instance_id=instance_id)
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "executionStarted"]
    worker.answer(turn, raw.schedule_task(1, name, "new"), raw.create_timer(2, time.time() + 1.0))
    tasks = hub.raw_worker(activities=[name])
    activity = tasks.activity(instance_id)
    assert activity.request.input.value == "new" and tasks.outstanding_activities() == 0
    fired = worker.turn(instance_id)
    assert fired.new() == ["orchestratorStarted", "timerFired"]
    (mine,) = [event.timerCreated.fireAt for event in fired.request.pastEvents if event.HasField("timerCreated")]
    assert fired.request.newEvents[1].timerFired.fireAt == mine, "the ghost's would have come first"
    worker.answer(fired)
    tasks.finish(activity, '"new"')
    assert worker.turn(instance_id).new() == ["orchestratorStarted", "taskCompleted"]


def test_trap_23_work_that_was_out_comes_back_to_nobody(hub: Hub):
    name = hub.unique("late")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "old"))
    late = worker.activity(instance_id)
    hub.raise_event(instance_id, "end")
    worker.answer(worker.turn(instance_id), raw.complete(2))
    hub.purge(instance_id)
    hub.start(name, instance_id=instance_id)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "new"))
    worker.finish(late, '"old"')
    worker.finish(worker.activity(instance_id), '"new"')
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "taskCompleted"]
    assert turn.request.newEvents[1].taskCompleted.result.value == '"new"'
    worker.answer(turn, raw.complete(2))


# By filter.

def test_trap_22_a_filter_without_conditions_purges_all_that_ended(own_hub: Hub):
    name = own_hub.unique("filtered")
    worker = own_hub.raw_worker(orchestrations=[name], entities=["witness"])
    for status in (raw.COMPLETED, raw.FAILED, raw.TERMINATED, raw.COMPLETED):
        ended(own_hub, worker, name, status)
    alive = [living(own_hub, worker, name, status) for status in (raw.PENDING, raw.RUNNING, raw.SUSPENDED)]
    own_hub.signal("@witness@one", "make")
    worker.commit(worker.batch("@witness@one"), raw.success(), state="1")
    result = own_hub.client.purge_orchestrations_by()
    assert (result.deleted_instance_count, result.is_complete) == (4, True)
    assert own_hub.query() == alive and own_hub.pages("ListInstanceIds") == [[]]
    assert own_hub.entity("@witness@one") is not None
    assert own_hub.client.purge_orchestrations_by().deleted_instance_count == 0


@pytest.mark.parametrize(("statuses", "purged"), [
    ([raw.FAILED], 2), ([raw.COMPLETED, raw.TERMINATED], 2), ([raw.RUNNING, raw.PENDING, raw.SUSPENDED], 0),
    ([raw.RUNNING, raw.FAILED], 2), (ALL_STATUSES, 4)],
    ids=["failed", "two", "living", "mixed", "all"])
def test_a_filter_names_statuses(own_hub: Hub, statuses: list[int], purged: int):
    name = own_hub.unique("filtered")
    worker = own_hub.raw_worker(orchestrations=[name])
    for status in (raw.COMPLETED, raw.FAILED, raw.FAILED, raw.TERMINATED):
        ended(own_hub, worker, name, status)
    for status in (raw.PENDING, raw.RUNNING, raw.SUSPENDED):
        living(own_hub, worker, name, status)
    before = {state.instanceId: state.orchestrationStatus for state in own_hub.pages("QueryInstances")[0]}
    result = own_hub.client.purge_orchestrations_by(runtime_status=[OrchestrationStatus(value) for value in statuses])
    assert (result.deleted_instance_count, result.is_complete) == (purged, True)
    terminal = (raw.COMPLETED, raw.FAILED, raw.TERMINATED)
    assert own_hub.query() == [instance_id for instance_id, status in before.items()
                               if status not in statuses or status not in terminal]


def test_a_filter_has_a_half_open_window_of_creation(own_hub: Hub):
    name = own_hub.unique("window")
    worker = own_hub.raw_worker(orchestrations=[name])
    ids = [ended(own_hub, worker, name) for _ in range(6)]
    created = [own_hub.state(instance_id).createdTimestamp for instance_id in ids]

    def purge(**window: object) -> int:
        return own_hub.purge(purgeInstanceFilter=pb.PurgeInstanceFilter(**window)).deletedInstanceCount

    assert purge(createdTimeFrom=created[2], createdTimeTo=created[2]) == 0
    assert purge(createdTimeFrom=created[2], createdTimeTo=created[4]) == 2
    assert own_hub.query() == [ids[0], ids[1], ids[4], ids[5]]
    assert purge(createdTimeTo=created[1]) == 1
    assert purge(createdTimeFrom=created[5]) == 1
    assert own_hub.query() == [ids[1], ids[4]]
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    assert own_hub.client.purge_orchestrations_by(created_time_from=tomorrow).deleted_instance_count == 0
    assert own_hub.client.purge_orchestrations_by(created_time_to=tomorrow).deleted_instance_count == 2


def test_a_purge_stops_in_time_and_goes_on_when_asked_again(own_hub: Hub):
    name = own_hub.unique("nobody-runs-this")
    own_hub.calls("StartInstance", [pb.CreateInstanceRequest(instanceId=f"{n:04}", name=name) for n in range(600)])
    own_hub.calls("TerminateInstance", [pb.TerminateRequest(instanceId=f"{n:04}") for n in range(600)])
    answer = own_hub.purge(purgeInstanceFilter=pb.PurgeInstanceFilter(timeout=duration_pb2.Duration(nanos=1)))
    assert answer.HasField("isComplete") and not answer.isComplete.value
    assert answer.deletedInstanceCount == 600 - len(own_hub.query())
    purged = answer.deletedInstanceCount
    while not answer.isComplete.value:
        answer = own_hub.purge(purgeInstanceFilter=pb.PurgeInstanceFilter(timeout=duration_pb2.Duration(seconds=20)))
        purged += answer.deletedInstanceCount
    assert purged == 600 and own_hub.query() == []


# In batches.

def test_a_batch_takes_what_ended_and_skips_the_rest(hub: Hub):
    name = hub.unique("batch")
    worker = hub.raw_worker(orchestrations=[name])
    gone = [ended(hub, worker, name, status) for status in (raw.COMPLETED, raw.FAILED, raw.TERMINATED)]
    alive = [living(hub, worker, name, status) for status in (raw.PENDING, raw.RUNNING, raw.SUSPENDED)]
    unnamed = ended(hub, worker, name)
    batch = pb.InstanceBatch(instanceIds=[gone[0], alive[0], hub.unique("missing"), gone[1], alive[1], gone[2],
                                          gone[0], alive[2]])
    for flag, count in ((True, 3), (False, 0)):
        answer = hub.purge(instanceBatch=batch, isOrchestration=flag)
        assert answer.deletedInstanceCount == count and answer.isComplete.value
    assert not any(is_there(hub, instance_id) for instance_id in gone)
    assert all(is_there(hub, instance_id) for instance_id in [*alive, unnamed])


def test_a_batch_has_up_to_500_ids(hub: Hub):
    name = hub.unique("batch")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = ended(hub, worker, name)
    ids = [f"{name}-{number}" for number in range(499)]
    assert hub.refused("PurgeInstances", pb.PurgeInstancesRequest(
        instanceBatch=pb.InstanceBatch(instanceIds=[*ids, instance_id, "one-more"])), grpc.StatusCode.INVALID_ARGUMENT)
    assert is_there(hub, instance_id)
    assert hub.purge(instanceBatch=pb.InstanceBatch(instanceIds=[*ids, instance_id])).deletedInstanceCount == 1
    assert hub.purge(instanceBatch=pb.InstanceBatch()).deletedInstanceCount == 0


def test_a_purge_of_nothing_is_refused(hub: Hub):
    for flag in (False, True):
        assert hub.refused("PurgeInstances", pb.PurgeInstancesRequest(recursive=flag), grpc.StatusCode.INVALID_ARGUMENT)


# With descendants.

def test_trap_20_descendants_go_only_if_asked_to(hub: Hub):
    name = hub.unique("family")
    worker = hub.raw_worker(orchestrations=[name])
    for recursive in (False, True):
        child, grandchild = hub.unique("child"), hub.unique("grandchild")
        parent = hub.start(name)
        worker.answer(worker.turn(parent), raw.create_child(1, name, child))
        worker.answer(worker.turn(child), raw.create_child(1, name, grandchild))
        worker.answer(worker.turn(grandchild), raw.complete(1))
        worker.answer(worker.turn(child), raw.complete(2))
        worker.answer(worker.turn(parent), raw.complete(2))
        result = hub.client.purge_orchestration(parent, recursive=recursive)
        assert result.deleted_instance_count == (3 if recursive else 1)
        assert not is_there(hub, parent)
        assert [is_there(hub, child), is_there(hub, grandchild)] == [not recursive] * 2


def test_living_descendants_are_left_alone(hub: Hub):
    name = hub.unique("family")
    worker = hub.raw_worker(orchestrations=[name])
    done, alive = hub.unique("done"), hub.unique("alive")
    parent = hub.start(name)
    worker.answer(worker.turn(parent), raw.create_child(1, name, done), raw.create_child(2, name, alive))
    worker.answer(worker.turn(alive))
    worker.answer(worker.turn(done), raw.complete(1))
    worker.answer(worker.turn(parent), raw.complete(3))
    assert hub.purge(parent, recursive=True).deletedInstanceCount == 2
    assert not is_there(hub, parent) and not is_there(hub, done)
    assert hub.status(alive) == raw.RUNNING
    hub.raise_event(alive, "end")
    worker.answer(worker.turn(alive), raw.complete(1))
    assert hub.status(alive) == raw.COMPLETED, "though nobody is left to be told"


def test_nothing_of_a_living_parent_is_purged(hub: Hub):
    name = hub.unique("family")
    worker = hub.raw_worker(orchestrations=[name])
    child = hub.unique("child")
    parent = family(hub, worker, name, child, parent_ends=False)
    assert hub.purge(parent, recursive=True).deletedInstanceCount == 0
    assert is_there(hub, parent) and is_there(hub, child)


def test_batches_and_filters_take_descendants_along_if_asked_to(own_hub: Hub):
    name = own_hub.unique("family")
    worker = own_hub.raw_worker(orchestrations=[name])
    parent = family(own_hub, worker, name, "child of the batch")
    assert own_hub.purge(instanceBatch=pb.InstanceBatch(instanceIds=[parent]), recursive=True).deletedInstanceCount == 2
    assert own_hub.query() == []
    own_hub.start(name, instance_id="stranger")
    worker.answer(worker.turn("stranger"), raw.complete(1))
    parent = family(own_hub, worker, name, "child of the filter")
    # The child is outside of the window: only its parent leads to it.
    window = pb.PurgeInstanceFilter(createdTimeFrom=own_hub.state(parent).createdTimestamp,
                                    createdTimeTo=own_hub.state("child of the filter").createdTimestamp)
    assert own_hub.purge(purgeInstanceFilter=window, recursive=True).deletedInstanceCount == 2
    assert own_hub.query() == ["stranger"]
