"""SkipGracefulOrchestrationTerminations: an end without the worker's consent."""

import time

import grpc
import pytest
from support import raw
from support.hub import Hub
from support.raw import pb
from support.waiting import DEADLINE_S, eventually


def skip(hub: Hub, *instance_ids: str, reason: str | None = '"no more"') -> list[str]:
    """Terminates these; returns the ids that were not."""
    return list(hub.call("SkipGracefulOrchestrationTerminations", pb.SkipGracefulOrchestrationTerminationsRequest(
        instanceBatch=pb.InstanceBatch(instanceIds=instance_ids), reason=raw.text(reason))).unterminatedInstanceIds)


@pytest.mark.parametrize("status", [raw.PENDING, raw.RUNNING, raw.SUSPENDED], ids=["pending", "running", "suspended"])
def test_what_lives_is_terminated_at_once(hub: Hub, status: int):
    name = hub.unique("skipped")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name if status != raw.PENDING else hub.unique("nobody-runs-this"), input="in")
    if status != raw.PENDING:
        worker.answer(worker.turn(instance_id), customStatus=raw.text('"kept"'))
    if status == raw.SUSPENDED:
        hub.suspend(instance_id)
        worker.answer(worker.turn(instance_id), customStatus=raw.text('"kept"'))
    waiting = hub.stub.WaitForInstanceCompletion.future(
        pb.GetInstanceRequest(instanceId=instance_id), timeout=DEADLINE_S, metadata=hub.metadata)
    assert skip(hub, instance_id) == []
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.TERMINATED
    assert (state.input.value, state.output.value) == ("in", '"no more"')
    assert state.HasField("completedTimestamp")
    assert state.customStatus.value == ("" if status == raw.PENDING else '"kept"')
    assert waiting.result().orchestrationState.orchestrationStatus == raw.TERMINATED
    *_, terminated, completed = hub.history(instance_id)
    assert terminated.eventId == completed.eventId == -1
    assert terminated.executionTerminated.input.value == '"no more"'
    assert completed.executionCompleted.orchestrationStatus == raw.TERMINATED
    assert completed.executionCompleted.result.value == '"no more"'
    assert hub.pages("ListInstanceIds", [1], completedTimeFrom=state.completedTimestamp)[0] == [instance_id]


def test_a_reason_may_be_missing(hub: Hub):
    instance_id = hub.start(hub.unique("nobody-runs-this"))
    assert skip(hub, instance_id, reason=None) == []
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.TERMINATED and not state.HasField("output")


def test_what_could_not_be_terminated_is_named(hub: Hub):
    name = hub.unique("named")
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    alive = [hub.start(hub.unique("nobody-runs-this")) for _ in range(3)]
    ended, missing, entity = hub.start(name), hub.unique("missing"), f"@{name}@one"
    worker.answer(worker.turn(ended), raw.complete(1, '"its own"'))
    hub.signal(entity, "make")
    worker.commit(worker.batch(entity), raw.success(), state="1")
    left = skip(hub, alive[0], ended, missing, alive[1], entity, alive[0], alive[2])
    assert sorted(left) == sorted([ended, missing, entity, alive[0]]), "the second mention of one id included"
    assert {hub.status(instance_id) for instance_id in alive} == {raw.TERMINATED}
    assert hub.state(ended).output.value == '"its own"'
    assert hub.entity(entity) is not None and hub.state(missing) is None


def test_a_batch_has_up_to_500_ids(hub: Hub):
    alive = hub.start(hub.unique("nobody-runs-this"))
    missing = [f"{alive}-{number}" for number in range(500)]
    assert hub.refused("SkipGracefulOrchestrationTerminations", pb.SkipGracefulOrchestrationTerminationsRequest(
        instanceBatch=pb.InstanceBatch(instanceIds=[alive, *missing])), grpc.StatusCode.INVALID_ARGUMENT)
    assert hub.status(alive) == raw.PENDING
    assert skip(hub, alive, *missing[:499]) == missing[:499]
    assert hub.status(alive) == raw.TERMINATED
    assert skip(hub) == []


def test_who_holds_a_lock_is_spared_until_it_does_not(hub: Hub):
    name = hub.unique("locked")
    entity = f"@{name}@one"
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    hub.signal(entity, "make")
    worker.commit(worker.batch(entity), raw.success(), state="1")
    owner, other = hub.start(name), hub.start(name)
    section = raw.guid()
    worker.answer(worker.turn(owner), raw.lock_entities(1, section, entity))
    worker.answer(worker.turn(owner))
    worker.answer(worker.turn(other), raw.lock_entities(1, raw.guid(), entity), raw.signal_entity(2, entity, "mark"))
    eventually(lambda: hub.entity(entity).backlogQueueSize == 1, what="the other one waiting for the lock")
    assert skip(hub, owner, other) == [owner], "waiting for a lock is not holding one"
    assert hub.status(owner) == raw.RUNNING and hub.status(other) == raw.TERMINATED
    assert hub.entity(entity).lockedBy.value == owner
    hub.raise_event(owner, "leave")
    worker.answer(worker.turn(owner), raw.unlock_entity(3, section, entity))
    assert worker.batch(entity).operations() == [("mark", "")]
    assert skip(hub, owner) == []
    assert hub.status(owner) == raw.TERMINATED


def test_what_was_out_or_under_way_comes_too_late(hub: Hub):
    name = hub.unique("late")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "out"), raw.create_timer(2, time.time() + 0.3))
    activity = worker.activity(instance_id)
    hub.raise_event(instance_id, "wake up")
    turn = worker.turn(instance_id)
    hub.raise_event(instance_id, "queued")
    assert skip(hub, instance_id) == []
    before, history = hub.state(instance_id), hub.history(instance_id)
    worker.answer(turn, raw.schedule_task(3, name, "ghost"), raw.complete(4, '"too late"'))
    worker.finish(activity, '"too late"')
    # Later than the timer, and served, so anything left of the old one would have come.
    probe = hub.start(name)
    worker.answer(worker.turn(probe), raw.create_timer(1, time.time() + 0.5))
    assert worker.turn(probe).new() == ["orchestratorStarted", "timerFired"]
    assert worker.waiting_turn(instance_id) is None and worker.outstanding_activities() == 0
    assert hub.state(instance_id) == before and hub.history(instance_id) == history
    assert before.output.value == '"no more"'


def test_the_parent_is_told_and_children_are_not(hub: Hub):
    name = hub.unique("family")
    worker = hub.raw_worker(orchestrations=[name])
    parent, middle, bottom = hub.start(name), hub.unique("middle"), hub.unique("bottom")
    worker.answer(worker.turn(parent), raw.create_child(1, name, middle))
    worker.answer(worker.turn(middle), raw.create_child(1, name, bottom))
    worker.answer(worker.turn(bottom))
    assert skip(hub, middle) == []
    turn = worker.turn(parent)
    assert turn.new() == ["orchestratorStarted", "subOrchestrationInstanceFailed"]
    failed = turn.request.newEvents[1].subOrchestrationInstanceFailed
    assert failed.taskScheduledId == 1 and "no more" in failed.failureDetails.errorMessage
    assert failed.failureDetails.errorType
    worker.answer(turn, raw.complete(2))
    assert hub.status(bottom) == raw.RUNNING


def test_the_id_may_be_used_again(hub: Hub):
    name = hub.unique("again")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    assert skip(hub, instance_id) == []
    hub.start(name, instance_id=instance_id)
    worker.answer(turn, raw.complete(1, '"old"'))
    fresh = worker.turn(instance_id)
    assert fresh.new() == ["orchestratorStarted", "executionStarted"] and fresh.token != turn.token
    worker.answer(fresh, raw.complete(1, '"new"'))
    assert hub.state(instance_id).output.value == '"new"'
