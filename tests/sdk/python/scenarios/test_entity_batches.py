"""Entity batches on the wire: what workers are given, what their answers do, and how batches come back."""

import json
import re
import time
import uuid

import pytest
from support import raw
from support.hub import Hub
from support.raw import pb
from support.server import Server
from support.waiting import eventually


def names(hub: Hub) -> tuple[str, str]:
    """A name of entities and orchestrations that only this scenario uses, and the id of such an entity."""
    name = hub.unique("raw")
    return name, f"@{name}@{hub.unique('Key')}"


def calls(hub: Hub, worker: raw.RawWorker, name: str, entity_id: str) -> str:
    """Starts an orchestration that has called the entity and waits; returns its id."""
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.call_entity(1, entity_id, "ask"))
    return instance_id


def asks_again(worker: raw.RawWorker, instance_id: str, earlier: raw.Batch) -> None:
    """The instance calls the entity of an earlier batch once more, and gets that answer and not the earlier one."""
    entity_id = earlier.request.instanceId
    worker.answer(worker.turn(instance_id), raw.call_entity(1, entity_id, "ask", "again"))
    worker.commit(earlier, raw.success("old"), state="1")
    worker.commit(worker.batch(entity_id), raw.success("new"), state="2")
    turn = worker.turn(instance_id)
    assert turn.answers() == [("completed", "new")]
    worker.answer(turn, raw.complete(2))


# What workers are given.

def test_trap_32_operations_have_what_workers_need(hub: Hub):
    name, entity = names(hub)
    given = raw.guid()
    hub.signal(entity, "Mixed Case", "1", requestId=given)
    hub.signal(entity, "unnamed")
    worker = hub.raw_worker(entities=[name])
    batch = worker.batch(entity)
    assert batch.operations() == [("Mixed Case", "1"), ("unnamed", "")]
    named, unnamed = batch.messages()
    assert named.requestId == given
    assert uuid.UUID(unnamed.requestId) and not unnamed.HasField("input")
    assert re.fullmatch("[0-9a-f]{32}", batch.request.executionId)
    for event in batch.request.operationRequests:
        assert event.eventId == -1 and event.HasField("timestamp")
    assert worker.unexpected == []


def test_trap_81_a_call_tells_who_asks(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = hub.start(name)
    turn = worker.turn(instance_id)
    worker.answer(turn, raw.call_entity(1, entity, "ask"))
    (call,) = worker.batch(entity).messages()
    assert isinstance(call, pb.EntityOperationCalledEvent)
    assert call.parentInstanceId.value == instance_id
    assert call.parentExecutionId.value == turn.request.executionId.value


def test_a_long_queue_is_worked_off_in_order(hub: Hub):
    name, entity = names(hub)
    for number in range(250):
        hub.signal(entity, "append", str(number))
    worker = hub.raw_worker(entities=[name])
    seen: list[str] = []
    while len(seen) < 250:
        batch = worker.batch(entity)
        assert batch.state == (json.dumps(len(seen)) if seen else None)
        seen += [input for _, input in batch.operations()]
        worker.commit(batch, *[raw.success()] * len(batch.messages()), state=json.dumps(len(seen)))
    assert seen == [str(number) for number in range(250)]
    assert hub.holds(entity, 250).backlogQueueSize == 0 and worker.outstanding_batches() == 0


def test_a_key_may_contain_the_separator(hub: Hub):
    name = hub.unique("entity")
    worker = hub.raw_worker(entities=[name])
    hub.signal(f"@{name}@a@b@@c", "set")
    worker.commit(worker.batch(f"@{name}@a@b@@c"), raw.success(), state="1")
    assert hub.holds(f"@{name}@a@b@@c", 1).instanceId == f"@{name}@a@b@@c"
    assert hub.entity(f"@{name}@a") is None


@pytest.mark.parametrize("state", ["", '""', "null", "0", "  spaced  ", "not JSON \u2603"], ids=repr)
def test_state_is_kept_to_the_letter(hub: Hub, state: str):
    name, entity = names(hub)
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "set")
    batch = worker.batch(entity)
    assert batch.state is None
    worker.commit(batch, raw.success(), state=state)
    hub.signal(entity, "look")
    assert worker.batch(entity).state == state
    metadata = hub.entity(entity)
    assert metadata.HasField("serializedState") and metadata.serializedState.value == state


def test_trap_88_what_a_worker_rolled_back_stays_rolled_back(hub: Hub):
    name, entity = names(hub)
    for operation in ("good", "bad", "good"):
        hub.signal(entity, operation)
    worker = hub.raw_worker(entities=[name])
    batch = worker.batch(entity)
    assert [operation for operation, _ in batch.operations()] == ["good", "bad", "good"]
    worker.commit(batch, raw.success(), raw.failure("bad"), raw.success(), state='{"good":2}')
    hub.holds(entity, {"good": 2})
    hub.signal(entity, "bad")
    batch = worker.batch(entity)
    assert batch.state == '{"good":2}'
    worker.commit(batch, raw.failure("bad"), state='{"good":2}')
    hub.signal(entity, "good")
    assert worker.batch(entity).state == '{"good":2}'


# What callers get.

def test_trap_33_the_history_has_entity_events_as_they_were_sent(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    asked, refused = raw.guid(), raw.guid()
    worker.answer(worker.turn(instance_id), raw.signal_entity(4, entity, "tell", "1"),
                  raw.call_entity(5, entity, "ask", "2", requestId=asked),
                  raw.call_entity(9, entity, "ask", "3", requestId=refused))
    eventually(lambda: sum(it.backlogQueueSize for it in hub.entities(entity, includeTransient=True)) == 3,
               what="all three waiting")
    listening = hub.raw_worker(entities=[name])
    batch = listening.batch(entity)
    assert [operation for operation, _ in batch.operations()] == ["tell", "ask", "ask"]
    listening.commit(batch, raw.success(), raw.success('"yes"'), raw.failure("no", isNonRetriable=True), state="1")
    turn = worker.turn(instance_id)
    assert turn.answers() == [("completed", '"yes"'), ("failed", "no")]
    worker.answer(turn, raw.complete(10))
    history = hub.history(instance_id)
    assert raw.kinds(history) == [
        "orchestratorStarted", "executionStarted", "entityOperationSignaled", "entityOperationCalled",
        "entityOperationCalled", "orchestratorStarted", "entityOperationCompleted", "entityOperationFailed",
        "executionCompleted"]
    assert [event.eventId for event in history] == [-1, -1, 4, 5, 9, -1, -1, -1, 10]
    assert history[2].entityOperationSignaled.targetInstanceId.value == entity
    called = history[3].entityOperationCalled
    assert (called.requestId, called.operation, called.input.value) == (asked, "ask", "2")
    assert called.targetInstanceId.value == entity
    assert history[6].entityOperationCompleted.requestId == asked
    failed = history[7].entityOperationFailed
    assert failed.requestId == refused and failed.failureDetails == raw.failure(
        "no", isNonRetriable=True).failure.failureDetails
    assert all(event.HasField("timestamp") for event in history)


@pytest.mark.parametrize("result", [None, "", "null", "0"], ids=repr)
def test_results_are_kept_to_the_letter(hub: Hub, result: str | None):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = calls(hub, worker, name, entity)
    worker.commit(worker.batch(entity), raw.success(result), state="1")
    (answer,) = worker.turn(instance_id).request.newEvents[1:]
    completed = answer.entityOperationCompleted
    assert completed.HasField("output") == (result is not None) and completed.output.value == (result or "")


def test_trap_80_a_call_is_answered_once(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = calls(hub, worker, name, entity)
    batch = worker.batch(entity)
    for result in ("first", "second", "third"):
        worker.commit(batch, raw.success(result), state=json.dumps(result))
    turn = worker.turn(instance_id)
    assert turn.answers() == [("completed", "first")]
    worker.answer(turn)
    hub.holds(entity, "first")
    hub.raise_event(instance_id, "anything else?")
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "eventRaised"]
    worker.answer(turn, raw.complete(2))


def test_trap_42_an_answer_does_not_reach_the_next_generation(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = calls(hub, worker, name, entity)
    batch = worker.batch(entity)
    hub.raise_event(instance_id, "again")
    worker.answer(worker.turn(instance_id), raw.continue_as_new(2))
    asks_again(worker, instance_id, batch)


def test_trap_42_an_answer_does_not_reach_a_namesake(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = calls(hub, worker, name, entity)
    batch = worker.batch(entity)
    hub.raise_event(instance_id, "enough")
    worker.answer(worker.turn(instance_id), raw.complete(2))
    hub.start(name, instance_id=instance_id)
    asks_again(worker, instance_id, batch)


def test_an_answer_waits_while_its_caller_is_suspended(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    instance_id = calls(hub, worker, name, entity)
    hub.suspend(instance_id)
    worker.answer(worker.turn(instance_id))
    worker.commit(worker.batch(entity), raw.success("yes"), state="1")
    hub.holds(entity, 1)
    hub.raise_event(instance_id, "meanwhile")
    hub.resume(instance_id)
    turn = worker.turn(instance_id)
    assert sorted(turn.new()) == ["entityOperationCompleted", "eventRaised", "executionResumed", "orchestratorStarted"]
    assert turn.answers() == [("completed", "yes")]
    worker.answer(turn, raw.complete(2))


# What answers do.

def test_operations_without_a_result_come_again_in_front(hub: Hub):
    name, entity = names(hub)
    for number in range(4):
        hub.signal(entity, "append", str(number))
    worker = hub.raw_worker(entities=[name])
    batch = worker.batch(entity)
    assert [input for _, input in batch.operations()] == ["0", "1", "2", "3"]
    hub.signal(entity, "append", "4")
    worker.commit(batch, raw.success(), raw.success(), state='"two of them"')
    again = worker.batch(entity)
    assert again.state == '"two of them"'
    assert [input for _, input in again.operations()] == ["2", "3", "4"]
    # More results than operations are no reason to lose any.
    worker.commit(again, *[raw.success()] * 7, state='"all of them"')
    hub.holds(entity, "all of them")


def test_no_results_at_all_change_nothing(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "set")
    first = worker.batch(entity)
    worker.commit(first, state='"unearned"')
    assert hub.entity(entity) is None
    again = worker.batch(entity)
    assert again.token != first.token and again.operations() == first.operations() and again.state is None


def test_trap_79_a_worker_that_could_not_run_a_batch_deletes_nothing(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "set")
    worker.commit(worker.batch(entity), raw.success(), state='"precious"')
    hub.signal(entity, "change")
    worker.commit(worker.batch(entity), failureDetails=pb.TaskFailureDetails(
        errorType="FrameworkError", errorMessage="no such constructor"))
    assert hub.entity(entity).serializedState.value == '"precious"'
    again = worker.batch(entity)
    assert again.state == '"precious"' and again.operations() == [("change", "")]
    worker.commit(again, raw.success(), state='"changed"')
    hub.holds(entity, "changed")


def test_a_batch_no_worker_can_run_fails_its_calls_in_the_end(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    hub.signal(entity, "set")
    worker.commit(worker.batch(entity), raw.success(), state='"precious"')
    instance_id = calls(hub, worker, name, entity)
    for _ in range(3):
        worker.commit(worker.batch(entity), failureDetails=pb.TaskFailureDetails(
            errorType="FrameworkError", errorMessage="no such constructor"))
    assert worker.turn(instance_id).answers() == [("failed", "no such constructor")]
    assert hub.entity(entity).serializedState.value == '"precious"'
    hub.signal(entity, "look")
    batch = worker.batch(entity)
    assert batch.operations() == [("look", "")] and batch.state == '"precious"'


def test_a_worker_may_ask_for_the_state(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "set")
    worker.commit(worker.batch(entity), raw.success(), state='"precious"')
    hub.signal(entity, "change")
    batch = worker.batch(entity)
    worker.commit(batch, requiresState=True)
    again = worker.batch(entity)
    assert again.state == '"precious"' and again.operations() == batch.operations() and again.token != batch.token


def test_what_an_entity_starts_replaces_the_ended_and_spares_the_living(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(orchestrations=[name], entities=[name])
    living, ended, later = (hub.unique(word) for word in ("living", "ended", "later"))
    for instance_id in (living, ended):
        hub.start(name, instance_id=instance_id, input="old")
        worker.answer(worker.turn(instance_id), *([raw.complete(1)] if instance_id == ended else []))
    tomorrow = raw.timestamp(time.time() + 86_400)
    hub.signal(entity, "start them")
    worker.commit(worker.batch(entity), raw.success(), state="1", actions=[
        raw.start_orchestration(name, living, "new"), raw.start_orchestration(name, ended, "new"),
        raw.start_orchestration(name, later, "new", scheduledTime=tomorrow, version=raw.text("2.0"))])
    replaced = worker.turn(ended)
    assert replaced.new() == ["orchestratorStarted", "executionStarted"] and replaced.started().input.value == "new"
    eventually(lambda: hub.status(later) == raw.PENDING, what="the scheduled orchestration")
    state = hub.state(later)
    assert state.scheduledStartTimestamp == tomorrow and state.version.value == "2.0"
    assert hub.state(living).input.value == "old" and hub.status(living) == raw.RUNNING
    hub.raise_event(living, "still there?")
    assert worker.turn(living).started().input.value == "old"
    hub.terminate(later)


# Delivery.

def test_one_batch_of_an_entity_is_out_at_a_time(hub: Hub):
    name, entity = names(hub)
    workers = [hub.raw_worker(entities=[name]) for _ in range(2)]
    hub.signal(entity, "append", "0")
    eventually(lambda: any(worker.outstanding_batches() for worker in workers), what="the batch")
    holder, idle = sorted(workers, key=raw.RawWorker.outstanding_batches, reverse=True)
    hub.signal(entity, "append", "1")
    hub.signal(entity, "append", "2")
    # What is signalled last comes, so the two before would have come too.
    probe = f"@{name}@probe"
    hub.signal(probe, "append")
    eventually(lambda: sum(worker.outstanding_batches() for worker in workers) == 2, what="the probe")
    batch = holder.batch(entity)
    assert batch.operations() == [("append", "0")]
    holder.commit(batch, raw.success(), state="1")
    eventually(lambda: sum(worker.outstanding_batches() for worker in workers) == 2, what="the other two")
    (last,) = [batch for worker in workers for batch in worker.batches() if batch.request.instanceId == entity]
    assert last.operations() == [("append", "1"), ("append", "2")] and last.state == "1"


def test_trap_94_a_lost_stream_gives_its_batch_back(hub: Hub):
    name, entity = names(hub)
    first = hub.raw_worker(entities=[name])
    hub.signal(entity, "append", "0")
    lost = first.batch(entity)
    hub.signal(entity, "append", "1")
    first.close()
    second = hub.raw_worker(entities=[name])
    batch = second.batch(entity)
    assert batch.token != lost.token
    assert batch.operations() == [("append", "0"), ("append", "1")]
    second.commit(lost, raw.success(), state='"stale"')
    assert hub.entity(entity) is None
    second.commit(batch, raw.success(), raw.success(), state='"current"')
    hub.holds(entity, "current")


def test_trap_54_an_abandoned_batch_comes_back(hub: Hub):
    name, entity = names(hub)
    worker = hub.raw_worker(entities=[name])
    hub.signal(entity, "append", "0")
    first = worker.batch(entity)
    worker.abandon(first)
    worker.abandon(first)
    second = worker.batch(entity)
    assert second.token != first.token and second.operations() == first.operations()
    worker.commit(second, raw.success(), state="1")
    hub.holds(entity, 1)
    assert worker.outstanding_batches() == 0


@pytest.mark.own_server
def test_entities_survive_a_kill(own_server: Server):
    hub = Hub(own_server.address)
    try:
        worker = hub.raw_worker(entities=["survivor"])
        hub.signal("@survivor@one", "set")
        worker.commit(worker.batch("@survivor@one"), raw.success(), state='"kept"')
        hub.signal("@survivor@one", "out")
        worker.batch("@survivor@one")
        hub.signal("@survivor@one", "queued", "1")
        due = time.time() + 1.5
        hub.signal("@survivor@two", "delayed", scheduledTime=raw.timestamp(due))
        own_server.kill()
    finally:
        hub.close()
    own_server.start()
    hub = Hub(own_server.address)
    try:
        assert hub.entity("@survivor@one").serializedState.value == '"kept"'
        worker = hub.raw_worker(entities=["survivor"])
        batch = worker.batch("@survivor@one")
        assert batch.state == '"kept"' and batch.operations() == [("out", ""), ("queued", "1")]
        worker.commit(batch, raw.success(), raw.success(), state='"later"')
        assert worker.batch("@survivor@two").operations() == [("delayed", "")]
        assert time.time() >= due
    finally:
        hub.close()
