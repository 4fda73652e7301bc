"""RewindInstance: a failed orchestration, or a failed tree of them, goes on from where it failed."""

import re
import threading
import time
from collections import Counter

import grpc
import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.entities import EntityContext, EntityInstanceId
from support import raw
from support.hub import Hub, Program
from support.raw import pb
from support.waiting import DEADLINE_S, eventually

program = Program()

_guard = threading.Lock()
_ran: Counter[str] = Counter()
_broken: set[str] = set()


@program.activity
def step(_, label: str) -> str:
    """Counts how often it ran, and fails while its label is in `_broken`."""
    with _guard:
        _ran[label] += 1
        if label in _broken:
            raise RuntimeError(f"{label} is broken")
    return label


@program.orchestrator
def three_steps(ctx: task.OrchestrationContext, key: str):
    done = []
    for number in (1, 2, 3):
        done.append((yield ctx.call_activity(step, input=f"{key}/{number}")))
    return done


@program.orchestrator
def side_by_side(ctx: task.OrchestrationContext, key: str):
    return (yield task.when_all([ctx.call_activity(step, input=f"{key}/{number}") for number in range(5)]))


@program.orchestrator
def own_fault(ctx: task.OrchestrationContext, key: str):
    yield ctx.call_activity(step, input=f"{key}/before")
    if key in _broken:
        raise RuntimeError("its own fault")
    return (yield ctx.call_activity(step, input=f"{key}/after"))


@program.orchestrator
def told_first(ctx: task.OrchestrationContext, key: str):
    word = yield ctx.wait_for_external_event("word")
    yield ctx.call_activity(step, input=f"{key}/1")
    return [word, (yield ctx.wait_for_external_event("word"))]


@program.orchestrator
def descends(ctx: task.OrchestrationContext, plan: dict):
    """A chain of orchestrations with known ids; the one at level 0 runs the steps."""
    if plan["level"] == 0:
        return (yield ctx.call_sub_orchestrator(three_steps, input=plan["key"], instance_id=f"{plan['key']}:steps"))
    yield ctx.call_activity(step, input=f"{plan['key']}/level {plan['level']}")
    below = {**plan, "level": plan["level"] - 1}
    result = yield ctx.call_sub_orchestrator(descends, input=below, instance_id=f"{plan['key']}:{below['level']}")
    return [plan["level"], result]


@program.entity
def tally(ctx: EntityContext, _):
    ctx.set_state(ctx.get_state(int, 0) + 1)
    return ctx.get_state(int)


@program.orchestrator
def locks_after_a_step(ctx: task.OrchestrationContext, key: str):
    entity = EntityInstanceId("tally", key)
    first = yield ctx.call_entity(entity, "add")
    yield ctx.call_activity(step, input=f"{key}/1")
    with (yield ctx.lock_entities([entity])):
        return [first, (yield ctx.call_entity(entity, "add"))]


def fails(hub: Hub, orchestrator, key: str, *labels: str) -> str:
    """Runs it with these steps broken, until it has failed; then the steps are mended."""
    _broken.update(f"{key}{label}" for label in labels)
    instance_id = hub.client.schedule_new_orchestration(orchestrator, input=key)
    assert hub.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    _broken.difference_update(f"{key}{label}" for label in labels)
    return instance_id


def ran(key: str) -> dict[str, int]:
    """How often each step of this key ran."""
    with _guard:
        return {label.removeprefix(f"{key}/"): count for label, count in _ran.items() if label.startswith(f"{key}/")}


def reasons(history: list[pb.HistoryEvent]) -> list[str]:
    return [event.executionRewound.reason.value for event in history if event.HasField("executionRewound")]


# One orchestration.

def test_trap_70_a_failed_activity_runs_again_and_the_others_do_not(shared: Hub):
    key = shared.unique("rewound")
    instance_id = fails(shared, three_steps, key, "/2")
    assert ran(key) == {"1": 1, "2": 1}
    shared.client.rewind_orchestration(instance_id, reason="mended")
    assert shared.completed(instance_id) == [f"{key}/1", f"{key}/2", f"{key}/3"]
    assert ran(key) == {"1": 1, "2": 2, "3": 1}
    assert not shared.state(instance_id).HasField("failureDetails")
    history = shared.history(instance_id)
    assert reasons(history) == ["mended"]
    kinds = raw.kinds(history)
    assert "taskFailed" not in kinds and kinds.count("taskScheduled") == kinds.count("taskCompleted") == 3
    assert kinds.count("executionCompleted") == 1 and kinds[-1] == "executionCompleted"


def test_of_parallel_activities_all_that_failed_run_again(shared: Hub):
    key = shared.unique("parallel")
    _broken.update({f"{key}/1", f"{key}/3"})
    instance_id = shared.client.schedule_new_orchestration(side_by_side, input=key)
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    eventually(lambda: len(ran(key)) == 5, what="all five having run")
    _broken.difference_update({f"{key}/1", f"{key}/3"})
    shared.client.rewind_orchestration(instance_id)
    assert shared.completed(instance_id) == [f"{key}/{number}" for number in range(5)]
    counts = ran(key)
    assert counts["1"] >= 2 and counts["3"] >= 2, "what had failed ran again"


def test_trap_70_twice(shared: Hub):
    key = shared.unique("twice")
    instance_id = fails(shared, three_steps, key, "/2")
    _broken.add(f"{key}/3")
    shared.client.rewind_orchestration(instance_id, reason="first")
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    assert ran(key) == {"1": 1, "2": 2, "3": 1}
    _broken.discard(f"{key}/3")
    shared.client.rewind_orchestration(instance_id, reason="second")
    assert shared.completed(instance_id) == [f"{key}/1", f"{key}/2", f"{key}/3"]
    assert ran(key) == {"1": 1, "2": 2, "3": 2}
    assert reasons(shared.history(instance_id)) == ["first", "second"]


def test_trap_70_the_same_step_twice(shared: Hub):
    key = shared.unique("again")
    instance_id = fails(shared, three_steps, key, "/1")
    _broken.add(f"{key}/1")
    shared.client.rewind_orchestration(instance_id)
    eventually(lambda: ran(key) == {"1": 2}, what="the step's second run")
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    _broken.discard(f"{key}/1")
    shared.client.rewind_orchestration(instance_id)
    shared.completed(instance_id)
    assert ran(key) == {"1": 3, "2": 1, "3": 1}


def test_a_fault_of_its_own_code_is_replayed_with_the_code_of_today(shared: Hub):
    key = shared.unique("fault")
    instance_id = fails(shared, own_fault, key, "")
    assert ran(key) == {"before": 1}
    shared.client.rewind_orchestration(instance_id)
    assert shared.completed(instance_id) == f"{key}/after"
    assert ran(key) == {"before": 1, "after": 1}


def test_events_of_before_are_still_known_and_new_ones_arrive(shared: Hub):
    key = shared.unique("told")
    _broken.add(f"{key}/1")
    instance_id = shared.client.schedule_new_orchestration(told_first, input=key)
    shared.client.raise_orchestration_event(instance_id, "word", data="before")
    assert shared.ended(instance_id).runtime_status == OrchestrationStatus.FAILED
    _broken.discard(f"{key}/1")
    shared.client.raise_orchestration_event(instance_id, "word", data="to a failed one: dropped")
    shared.client.rewind_orchestration(instance_id)
    shared.client.raise_orchestration_event(instance_id, "word", data="after")
    assert shared.completed(instance_id) == ["before", "after"]


def test_waiting_and_listing_go_by_the_new_end(own_hub: Hub):
    name = own_hub.unique("waited")
    worker = own_hub.raw_worker(orchestrations=[name], activities=[name])
    own_hub.start(name, instance_id="one")
    worker.answer(worker.turn("one"), raw.complete(1, status=raw.FAILED))
    assert own_hub.pages("ListInstanceIds") == [["one"]]
    own_hub.rewind("one")
    assert own_hub.pages("ListInstanceIds") == [[]]
    assert own_hub.query(runtimeStatus=[raw.FAILED]) == [] and own_hub.query(runtimeStatus=[raw.RUNNING]) == ["one"]
    waiting = own_hub.stub.WaitForInstanceCompletion.future(
        pb.GetInstanceRequest(instanceId="one", getInputsAndOutputs=True),
        timeout=DEADLINE_S, metadata=own_hub.metadata)
    worker.answer(worker.turn("one"), raw.complete(1, '"mended"'))
    assert waiting.result().orchestrationState.output.value == '"mended"'
    assert own_hub.pages("ListInstanceIds") == [["one"]]


# On the wire.

def test_trap_31_trap_71_the_worker_gets_the_rest_of_its_history_and_nothing_of_the_failure(hub: Hub):
    name = hub.unique("wire")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name, input="in", tags={"kept": "yes"}, version="1.0")
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "one"), customStatus=raw.text('"one"'))
    worker.finish(worker.activity(instance_id), "1")
    worker.answer(worker.turn(instance_id), raw.schedule_task(2, name, "two"), customStatus=raw.text('"two"'))
    worker.finish(worker.activity(instance_id), failureDetails=raw.failure("broken").failure.failureDetails)
    failing = worker.turn(instance_id)
    assert failing.new() == ["orchestratorStarted", "taskFailed"]
    worker.answer(failing, raw.complete(3, '"partial"', raw.FAILED, failureDetails=raw.failure(
        "broken").failure.failureDetails), customStatus=raw.text('"three"'))
    before = hub.reaches(instance_id, raw.FAILED)

    hub.rewind(instance_id, "a reason")
    state = hub.state(instance_id)
    assert state.orchestrationStatus == raw.RUNNING
    for field in ("output", "failureDetails", "completedTimestamp"):
        assert before.HasField(field) and not state.HasField(field)
    assert state.createdTimestamp == before.createdTimestamp
    assert (state.input, state.version, dict(state.tags)) == (before.input, before.version, {"kept": "yes"})
    kept = ["orchestratorStarted", "executionStarted", "taskScheduled", "orchestratorStarted", "taskCompleted",
            "orchestratorStarted"]
    assert raw.kinds(hub.history(instance_id)) == [*kept, "executionRewound"]

    turn = worker.turn(instance_id)
    assert turn.past() == kept and turn.new() == ["orchestratorStarted"]
    execution_id = turn.request.executionId.value
    assert re.fullmatch("[0-9a-f]{32}", execution_id) and execution_id != before.executionId.value
    assert turn.started().orchestrationInstance.executionId.value == execution_id == state.executionId.value
    (scheduled,) = [event for event in turn.request.pastEvents if event.HasField("taskScheduled")]
    assert scheduled.eventId == 1 and scheduled.taskScheduled.input.value == "one"
    worker.answer(turn, raw.schedule_task(2, name, "two"))
    again = worker.activity(instance_id)
    assert again.request.input.value == "two"
    assert again.request.orchestrationInstance.executionId.value == execution_id
    worker.finish(again, "2")
    turn = worker.turn(instance_id)
    assert turn.past() == [*kept, "orchestratorStarted", "taskScheduled"]
    assert turn.new() == ["orchestratorStarted", "taskCompleted"]
    worker.answer(turn, raw.complete(3, '"whole"'))
    history = hub.history(instance_id)
    assert raw.kinds(history) == [*kept, "executionRewound", "orchestratorStarted", "taskScheduled",
                                  "orchestratorStarted", "taskCompleted", "executionCompleted"]
    assert reasons(history) == ["a reason"]
    assert all(event.HasField("timestamp") for event in history)
    assert hub.state(instance_id).output.value == '"whole"'


def test_of_a_retried_activity_only_the_failed_attempts_go(hub: Hub):
    # Retries may have the id of the first attempt, so failures cannot be paired by id alone.
    name = hub.unique("attempts")
    worker = hub.raw_worker(orchestrations=[name], activities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "first"))
    worker.finish(worker.activity(instance_id), failureDetails=raw.failure("first").failure.failureDetails)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "second"))
    worker.finish(worker.activity(instance_id), '"second"')
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "third"))
    worker.finish(worker.activity(instance_id), failureDetails=raw.failure("third").failure.failureDetails)
    worker.answer(worker.turn(instance_id), raw.complete(2, status=raw.FAILED))
    hub.rewind(instance_id)
    turn = worker.turn(instance_id)
    assert turn.past() == ["orchestratorStarted", "executionStarted", "orchestratorStarted", "taskScheduled",
                           "orchestratorStarted", "taskCompleted", "orchestratorStarted"]
    (scheduled,) = [event.taskScheduled for event in turn.request.pastEvents if event.HasField("taskScheduled")]
    assert scheduled.input.value == "second"
    worker.answer(turn, raw.complete(2))


def test_what_the_failure_left_unfinished_is_taken_up_again(hub: Hub):
    name = hub.unique("unfinished")
    entity = f"@{name}@one"
    worker = hub.raw_worker(orchestrations=[name], activities=[name], entities=[name])
    instance_id = hub.start(name)
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name, "slow"),
                  raw.create_timer(2, time.time() + 0.7), raw.call_entity(3, entity, "ask"),
                  raw.schedule_task(4, name, "broken"))
    activities = {activity.request.input.value: activity for activity in (
        worker.activity(instance_id), worker.activity(instance_id))}
    worker.finish(activities["broken"], failureDetails=raw.failure("broken").failure.failureDetails)
    batch = worker.batch(entity)
    worker.answer(worker.turn(instance_id), raw.complete(5, status=raw.FAILED))
    # Their results find it failed and are dropped.
    worker.finish(activities["slow"], '"dropped"')
    worker.commit(batch, raw.success('"dropped"'), state="1")
    hub.holds(entity, 1)
    hub.rewind(instance_id)
    arrived: Counter[str] = Counter()
    turn = worker.turn(instance_id)
    arrived.update(turn.new()[1:])
    worker.answer(turn)
    worker.finish(worker.activity(instance_id), '"slow again"')
    worker.commit(worker.batch(entity), raw.success('"asked again"'), state="2")
    while arrived.total() < 3:
        turn = worker.turn(instance_id)
        arrived.update(turn.new()[1:])
        worker.answer(turn, *([raw.complete(6)] if arrived.total() == 3 else []))
    assert arrived == {"taskCompleted": 1, "timerFired": 1, "entityOperationCompleted": 1}


# Refusals.

@pytest.mark.parametrize("status", [raw.PENDING, raw.RUNNING, raw.SUSPENDED, raw.COMPLETED, raw.TERMINATED],
                         ids=["pending", "running", "suspended", "completed", "terminated"])
def test_trap_69_only_what_failed_is_rewound(hub: Hub, status: int):
    name = hub.unique("sound")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    if status != raw.PENDING:
        worker.answer(worker.turn(instance_id),
                      *([raw.complete(1, status=status)] if status in (raw.COMPLETED, raw.TERMINATED) else []))
    if status == raw.SUSPENDED:
        hub.suspend(instance_id)
    before = hub.state(instance_id)
    assert before.orchestrationStatus == status
    detail = hub.refused("RewindInstance", pb.RewindInstanceRequest(instanceId=instance_id),
                         grpc.StatusCode.FAILED_PRECONDITION)
    assert re.search("not allow|precondition|running", detail, re.IGNORECASE)
    assert hub.state(instance_id) == before


def test_what_is_missing_is_not_rewound(hub: Hub):
    missing = hub.unique("missing")
    assert missing in hub.refused("RewindInstance", pb.RewindInstanceRequest(
        instanceId=missing, reason=raw.text("why not")), grpc.StatusCode.NOT_FOUND)


# Trees.

def test_trap_70_a_failed_tree_goes_on_at_its_bottom(shared: Hub):
    key = shared.unique("tree")
    ids = [f"{key}:2", f"{key}:1", f"{key}:0", f"{key}:steps"]
    _broken.add(f"{key}/2")
    shared.client.schedule_new_orchestration(descends, input={"key": key, "level": 2}, instance_id=ids[0])
    assert shared.ended(ids[0]).runtime_status == OrchestrationStatus.FAILED
    _broken.discard(f"{key}/2")
    executions = {shared.state(instance_id).executionId.value for instance_id in ids}
    shared.client.rewind_orchestration(ids[0], reason="from the top")
    steps = [f"{key}/1", f"{key}/2", f"{key}/3"]
    assert shared.completed(ids[0]) == [2, [1, steps]]
    assert ran(key) == {"level 2": 1, "level 1": 1, "1": 1, "2": 2, "3": 1}
    for above, instance_id in zip([None, *ids], ids, strict=False):
        state = shared.state(instance_id)
        assert state.orchestrationStatus == raw.COMPLETED and state.executionId.value not in executions
        history = shared.history(instance_id)
        assert len(reasons(history)) == 1
        assert "subOrchestrationInstanceFailed" not in raw.kinds(history)
        (started,) = [event.executionStarted for event in history if event.HasField("executionStarted")]
        if above is not None:
            link = started.parentInstance.orchestrationInstance
            assert link.instanceId == above
            assert link.executionId.value == shared.state(above).executionId.value, "trap 72: the parent of today"


def test_trap_70_a_purged_child_is_made_again(shared: Hub):
    key = shared.unique("purged")
    top, child = f"{key}:1", f"{key}:steps"
    _broken.add(f"{key}/2")
    shared.client.schedule_new_orchestration(
        descends, input={"key": key, "level": 1}, instance_id=top, tags={"kept": "yes"})
    assert shared.ended(top).runtime_status == OrchestrationStatus.FAILED
    _broken.discard(f"{key}/2")
    assert shared.client.purge_orchestration(child).deleted_instance_count == 1
    shared.client.rewind_orchestration(top)
    assert shared.completed(top) == [1, [f"{key}/1", f"{key}/2", f"{key}/3"]]
    assert ran(key) == {"level 1": 1, "1": 2, "2": 2, "3": 1}, "the child began anew"
    state = shared.state(child)
    assert state.parentInstanceId.value == f"{key}:0" and dict(state.tags) == {"kept": "yes"}
    assert state.input.value == f'"{key}"' and "executionRewound" not in raw.kinds(shared.history(child))


def test_a_child_that_ended_otherwise_is_replaced(hub: Hub):
    name = hub.unique("replaced")
    worker = hub.raw_worker(orchestrations=[name])
    parent, child = hub.unique("parent"), hub.unique("child")
    hub.start(name, instance_id=parent)
    worker.answer(worker.turn(parent), raw.create_child(1, name, child, input=raw.text("in")))
    worker.answer(worker.turn(child), raw.complete(1, status=raw.TERMINATED))
    worker.answer(worker.turn(parent), raw.complete(2, status=raw.FAILED))
    hub.rewind(parent)
    turn = worker.turn(parent)
    assert turn.past() == ["orchestratorStarted", "executionStarted", "subOrchestrationInstanceCreated",
                           "orchestratorStarted"]
    worker.answer(turn)
    again = worker.turn(child)
    assert again.past() == [] and again.new() == ["orchestratorStarted", "executionStarted"]
    started = again.started()
    assert started.input.value == "in" and started.parentInstance.taskScheduledId == 1
    assert started.parentInstance.orchestrationInstance.executionId.value == turn.request.executionId.value
    worker.answer(again, raw.complete(1, '"this time"'))
    turn = worker.turn(parent)
    assert turn.new() == ["orchestratorStarted", "subOrchestrationInstanceCompleted"]
    assert turn.request.newEvents[1].subOrchestrationInstanceCompleted.result.value == '"this time"'
    worker.answer(turn, raw.complete(2))


def test_trap_72_a_child_still_running_reports_to_its_rewound_parent(hub: Hub):
    name = hub.unique("running")
    worker = hub.raw_worker(orchestrations=[name])
    parent, failing, running = (hub.unique(word) for word in ("parent", "failing", "running"))
    hub.start(name, instance_id=parent)
    worker.answer(worker.turn(parent), raw.create_child(1, name, failing), raw.create_child(2, name, running))
    worker.answer(worker.turn(running))
    worker.answer(worker.turn(failing), raw.complete(1, status=raw.FAILED))
    worker.answer(worker.turn(parent), raw.complete(3, status=raw.FAILED))
    hub.rewind(parent)
    worker.answer(worker.turn(parent))
    worker.answer(worker.turn(failing), raw.complete(1, '"mended"'))
    hub.raise_event(running, "end")
    worker.answer(worker.turn(running), raw.complete(1, '"all the time"'))
    results: dict[int, str] = {}
    while len(results) < 2:
        turn = worker.turn(parent)
        for event in turn.request.newEvents[1:]:
            completed = event.subOrchestrationInstanceCompleted
            results[completed.taskScheduledId] = completed.result.value
        worker.answer(turn, *([raw.complete(3)] if len(results) == 2 else []))
    assert results == {1: '"mended"', 2: '"all the time"'}


def test_trap_72_entities_know_the_execution_of_today(shared: Hub):
    key = shared.unique("locked")
    instance_id = fails(shared, locks_after_a_step, key, "/1")
    shared.client.rewind_orchestration(instance_id)
    assert shared.completed(instance_id) == [1, 2], "the first call is not made again"
    shared.is_unlocked(EntityInstanceId("tally", key))
